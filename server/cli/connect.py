"""``sightline connect``: the exact configuration of a client, to paste."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path

HELP = "print the exact configuration that connects an assistant"

CLIENTS = ("claude-desktop", "claude-code", "cursor", "vscode", "json")

_WHERE = {
    "claude-desktop": (
        "Paste into claude_desktop_config.json (Settings > Developer > Edit Config), "
        "then restart Claude Desktop."
    ),
    "claude-code": "Run this command.",
    "cursor": "Paste into ~/.cursor/mcp.json, or .cursor/mcp.json of a project.",
    "vscode": "Paste into .vscode/mcp.json of a workspace.",
    "json": "The general form that most MCP clients take.",
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("client", choices=CLIENTS)
    parser.add_argument(
        "--url", help="connect to a running HTTP server, such as http://127.0.0.1:8765/mcp"
    )
    parser.add_argument("--name", default="sightline", help="what the client calls the server")


def executable() -> str:
    """Absolute path of the ``sightline`` command that is running, or its name."""
    beside = Path(sys.executable).with_name("sightline")
    return str(beside) if beside.exists() else shutil.which("sightline") or "sightline"


def server_entry(url: str | None, environment: dict[str, str]) -> dict[str, object]:
    """How a client starts or reaches the server; only Sightline's own settings are passed on."""
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
    """The configuration in the client's own form."""
    if client == "claude-code":
        payload = entry if "url" in entry else {"type": "stdio", **entry}
        quoted = json.dumps(payload).replace("'", "'\\''")
        return f"claude mcp add-json {name} '{quoted}'"
    if client == "vscode":
        payload = entry if "url" in entry else {"type": "stdio", **entry}
        return json.dumps({"servers": {name: payload}}, indent=2)
    if client == "claude-desktop" and "url" in entry:
        # Claude Desktop's file knows commands only; a small bridge reaches an HTTP server.
        entry = {"command": "npx", "args": ["-y", "mcp-remote", str(entry["url"])]}
    return json.dumps({"mcpServers": {name: entry}}, indent=2)


def run(arguments: argparse.Namespace) -> int:
    """The snippet on stdout, alone, so that it can be piped; where it goes on stderr."""
    print(_WHERE[arguments.client], file=sys.stderr)
    entry = server_entry(arguments.url, dict(os.environ))
    if "env" in entry:
        print(
            "It carries your SIGHTLINE_* settings, secrets among them: keep it to yourself.",
            file=sys.stderr,
        )
    print(snippet(arguments.client, arguments.name, entry))
    return 0
