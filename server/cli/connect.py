"""``sightline connect``: print the configuration of an MCP client."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

HELP = "print the configuration that connects an assistant"

CLIENTS = ("claude-desktop", "claude-code", "cursor", "vscode", "json")

_INSTRUCTIONS = {
    "claude-desktop": (
        "Paste into claude_desktop_config.json (Settings > Developer > Edit Config), "
        "then restart Claude Desktop."
    ),
    "claude-code": "Run this command.",
    "cursor": "Paste into ~/.cursor/mcp.json, or into .cursor/mcp.json of a project.",
    "vscode": "Paste into .vscode/mcp.json of a workspace.",
    "json": "The format that most MCP clients accept.",
}


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument(
        "--url", help="connect to a running HTTP server, such as http://127.0.0.1:8765/mcp"
    )
    parser.add_argument("--name", default="sightline", help="name of the server in the client")


def executable() -> str:
    """Return the absolute path of the ``sightline`` command, or its name."""
    path = Path(sys.executable).with_name("sightline")
    return str(path) if path.exists() else shutil.which("sightline") or "sightline"


def server_entry(url: str | None, environment: dict[str, str]) -> dict[str, object]:
    """Return how a client starts or reaches the server, including all settings."""
    if url is not None:
        return {"type": "http", "url": url}
    settings = {
        key: value for key, value in sorted(environment.items()) if key.startswith("SIGHTLINE_")
    }
    entry: dict[str, object] = {"command": executable(), "args": ["serve"]}
    if settings:
        entry["env"] = settings
    return entry


def snippet(client: str, name: str, entry: dict[str, object]) -> str:
    """Return the configuration in the format of the client."""
    if client == "claude-code":
        payload = entry if "url" in entry else {"type": "stdio", **entry}
        quoted = json.dumps(payload).replace("'", "'\\''")
        return f"claude mcp add-json {name} '{quoted}'"
    if client == "vscode":
        payload = entry if "url" in entry else {"type": "stdio", **entry}
        return json.dumps({"servers": {name: payload}}, indent=2)
    if client == "claude-desktop" and "url" in entry:
        # Claude Desktop supports commands only, so a bridge connects to the HTTP server.
        entry = {"command": "npx", "args": ["-y", "mcp-remote", str(entry["url"])]}
    return json.dumps({"mcpServers": {name: entry}}, indent=2)


def run(arguments: argparse.Namespace) -> int:
    """Print the configuration on stdout, and instructions on stderr."""
    print(_INSTRUCTIONS[arguments.client], file=sys.stderr)
    entry = server_entry(arguments.url, dict(os.environ))
    if "env" in entry:
        print(
            "It contains your SIGHTLINE_* settings, including secrets. Keep it private.",
            file=sys.stderr,
        )
    print(snippet(arguments.client, arguments.name, entry))
    return 0
