"""``sightline serve``: the MCP server, over stdio or HTTP."""

from __future__ import annotations

import argparse
import asyncio
from typing import Any

from sightline.server.config.settings import load
from sightline.server.observability.gc_freeze import gc_paused

HELP = "serve MCP over stdin and stdout, or with --http over streamable HTTP"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--http", action="store_true", help="streamable HTTP instead of stdio")
    parser.add_argument("--host", help="address to listen on (SIGHTLINE_HTTP_HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (SIGHTLINE_HTTP_PORT)")


def run(arguments: argparse.Namespace) -> int:
    """Serve until told to stop."""
    # Imported here: the SDK takes a second, which other commands need not wait for.
    with gc_paused():
        from sightline.server import stdio
        from sightline.server.http import http_server
        from sightline.server.observability import logs

    options: dict[str, Any] = {"http_host": arguments.host, "http_port": arguments.port}
    settings = load(**{name: value for name, value in options.items() if value is not None})
    logs.configure(settings)
    asyncio.run(http_server.serve(settings) if arguments.http else stdio.serve(settings))
    return 0
