"""``sightline serve``: run the server."""

from __future__ import annotations

import argparse
import asyncio
import os

from sightline.server.config import load_settings
from sightline.server.observability.gc_freeze import gc_paused


def configure_serve(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--http", action="store_true", help="streamable HTTP instead of stdio")
    parser.add_argument("--host", help="address to listen on (SIGHTLINE_HTTP__HOST)")
    parser.add_argument("--port", type=int, help="port to listen on (SIGHTLINE_HTTP__PORT)")


def run_serve(arguments: argparse.Namespace) -> None:
    # The SDK takes a second to import, which other commands must not wait for.
    with gc_paused():
        from sightline.server import stdio

        if arguments.http:
            from sightline.server.http import http_server
        from sightline.server.observability import logs, traces

    options = {"http__host": arguments.host, "http__port": arguments.port}
    settings = load_settings(
        **{name: value for name, value in options.items() if value is not None}
    )
    logs.configure(settings)
    traces.configure(os.environ)
    try:
        asyncio.run(http_server.serve(settings) if arguments.http else stdio.serve(settings))
    except BaseException:
        traces.shut_down()
        raise
    stdio.end_process(0)
