"""``sightline open``: open the web app in the browser."""

from __future__ import annotations

import argparse
import asyncio
import os
import threading
import webbrowser
from typing import TYPE_CHECKING
from urllib.parse import quote

from sightline.server.config import load_settings, variable
from sightline.server.mcp_server.command_socket import running_page_url
from sightline.server.observability.terminal import write_lines
from sightline.storage.errors import ConfigurationError

if TYPE_CHECKING:
    from sightline.server.app import App


def configure_open(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--no-browser", action="store_true", help="print the address, open no browser"
    )
    parser.add_argument(
        "--token",
        help="sign in with this bearer token; other accounts of this machine may see it in the "
        "list of processes. Without it, the page asks.",
    )


def run_open(arguments: argparse.Namespace) -> None:
    """Open the page of a running server of the same settings, or serve until Ctrl-C."""
    settings = load_settings()
    url = running_page_url(settings)
    if url is not None:
        _show(url, arguments)
        return
    if not settings.http.web_app:
        raise ConfigurationError(
            f"The web app is off. Set {variable('http.web_app')}=true, or unset it."
        )
    from sightline.server import stdio
    from sightline.server.http import http_server
    from sightline.server.observability import logs, traces

    logs.configure(settings)
    traces.configure(os.environ)

    def show(app: App) -> None:
        write_lines("Serving until Ctrl-C.")
        # A browser in a terminal runs until the person closes it.
        opening = threading.Thread(target=_show, args=(app.page_url, arguments), daemon=True)
        opening.start()

    try:
        asyncio.run(http_server.serve(settings, show))
    except BaseException:
        traces.shut_down()
        raise
    stdio.end_process(0)


def _show(url: str, arguments: argparse.Namespace) -> None:
    """Open the address in a browser, or print it."""
    address = url
    if arguments.token:
        # A browser does not send the fragment, so the token reaches no log.
        address += f"#token={quote(arguments.token, safe='')}"
    if arguments.no_browser:
        write_lines(address)
        return
    write_lines(f"Opening {url}")
    if not webbrowser.open(address):
        write_lines(f"No browser could be opened. Open this address yourself: {address}")
