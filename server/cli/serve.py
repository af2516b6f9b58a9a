"""``sightline serve`` and ``connect``: run the server, configure its clients."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import sys
from pathlib import Path

from sightline.server.config import load_settings
from sightline.server.observability.gc_freeze import gc_paused
from sightline.server.observability.terminal import write_lines

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


def configure_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--http", action="store_true", help="streamable HTTP instead of stdio")
    parser.add_argument("--host", help="address to listen on (SIGHTLINE_HTTP__HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (SIGHTLINE_HTTP__PORT)")


def run_serve(arguments: argparse.Namespace) -> None:
    # The SDK takes a second to import, which other commands must not wait for.
    with gc_paused():
        from sightline.server import stdio
        from sightline.server.http import http_server
        from sightline.server.observability import logs

    options = {"http__host": arguments.host, "http__port": arguments.port}
    settings = load_settings(
        **{name: value for name, value in options.items() if value is not None}
    )
    logs.configure(settings)
    asyncio.run(http_server.serve(settings) if arguments.http else stdio.serve(settings))


def configure_connect(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("client", choices=_INSTRUCTIONS)
    parser.add_argument(
        "--url", help="connect to a running HTTP server, such as http://127.0.0.1:8765/mcp"
    )
    parser.add_argument("--name", default="sightline", help="name of the server in the client")


def server_entry(url: str | None, environment: dict[str, str]) -> dict[str, object]:
    """Return how a client starts or reaches the server, including all settings."""
    if url is not None:
        return {"type": "http", "url": url}
    path = Path(sys.executable).with_name("sightline")
    command = str(path) if path.exists() else shutil.which("sightline") or "sightline"
    settings = {
        key: value for key, value in sorted(environment.items()) if key.startswith("SIGHTLINE_")
    }
    return {"command": command, "args": ["serve"]} | ({"env": settings} if settings else {})


def client_config(client: str, name: str, entry: dict[str, object]) -> str:
    """Return the configuration in the format of the client."""
    payload = entry if "url" in entry else {"type": "stdio", **entry}
    if client == "claude-code":
        quoted = json.dumps(payload).replace("'", "'\\''")
        return f"claude mcp add-json {name} '{quoted}'"
    if client == "vscode":
        return json.dumps({"servers": {name: payload}}, indent=2)
    if client == "claude-desktop" and "url" in entry:
        # Claude Desktop supports commands only, so a bridge connects to the HTTP server.
        entry = {"command": "npx", "args": ["-y", "mcp-remote", str(entry["url"])]}
    return json.dumps({"mcpServers": {name: entry}}, indent=2)


def run_connect(arguments: argparse.Namespace) -> None:
    """Print the configuration on stdout, and instructions on stderr."""
    write_lines(_INSTRUCTIONS[arguments.client], error=True)
    entry = server_entry(arguments.url, dict(os.environ))
    if "env" in entry:
        write_lines(
            "It contains your SIGHTLINE_* settings, including secrets. Keep it private.", error=True
        )
    write_lines(*client_config(arguments.client, arguments.name, entry).split("\n"))
