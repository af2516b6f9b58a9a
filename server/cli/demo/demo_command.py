"""``sightline demo``: draw images, serve them and run a tour of all tools."""

from __future__ import annotations

import argparse
import asyncio
import socket
from pathlib import Path

from mcp import Client

from sightline.server.cli.demo.tour import (
    COLLECTION,
    USER_COLLECTION,
    DemoAlbum,
    TourRunner,
    draw_demo_album,
    run_demo_tour,
    run_user_tour,
)
from sightline.server.cli.library.ingest import ingest_paths, ingest_progress
from sightline.server.cli.library.ingest_summary import print_summary
from sightline.server.config import Settings, load_settings
from sightline.server.http.http_server import start_http_server
from sightline.server.observability import logs
from sightline.server.observability.terminal import write_lines
from sightline.server.reports import tour_page
from sightline.storage.files import write_private
from sightline.training.world.core.splits import seed_of
from sightline.training.world.export import jpeg_bytes
from sightline.training.world.families import draw

_STARTUP_TIMEOUT_SECONDS = 600.0


def configure_demo(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--images", type=Path, help="folder of your own images instead of the demo images"
    )
    parser.add_argument("--once", action="store_true", help="exit after the tour")


async def run_demo(arguments: argparse.Namespace) -> int:
    """Ingest, serve and run the tour; then serve until Ctrl-C, unless ``--once``."""
    settings = load_settings(
        encoder__model="builtin",
        vlm__base_url=None,
        vlm__model="builtin",
        startup_timeout_seconds=_STARTUP_TIMEOUT_SECONDS,
        log__level="warning",
    )
    logs.configure(settings)
    album: DemoAlbum | None = None
    if arguments.images is None:
        write_lines("Drawing the demo images (first run only) ...")
        album = draw_demo_album(settings.data_dir)
        folder, collection = album.folder, COLLECTION
    else:
        folder, collection = arguments.images, USER_COLLECTION
    with ingest_progress(shown=True) as progress:
        summary = await ingest_paths(settings, [folder], collection, progress)
    print_summary(summary)
    if summary.nothing_ingested:
        write_lines(f"No file in {folder} could be ingested.", error=True)
        return 1
    await _serve(
        settings.replace(http__port=_port(settings)), collection, album, once=arguments.once
    )
    return 0


async def _serve(
    settings: Settings, collection: str, album: DemoAlbum | None, *, once: bool
) -> None:
    """Run the server and the tour; ``album=None`` means images of the user."""
    upload = jpeg_bytes(draw("street", seed_of("test", 900_000), "test"))
    async with start_http_server(settings) as (url, running):
        async with Client(url) as client:
            tour = TourRunner(client, collection)
            if album is not None:
                await run_demo_tour(tour, upload, album)
            else:
                await run_user_tour(tour, upload)
        path = settings.data_dir / "demo" / "tour.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_private(path, tour_page.render(tour.steps))
        write_lines("", f"Images of this tour: {path.as_uri()}")
        write_lines(
            "The built-in model that gave the answers is tiny; one answer in six is wrong even "
            "on these images. The README explains how to configure a production model."
        )
        if album is None:
            write_lines(
                "The built-in encoder knows synthetic scenes only; photos are found by caption, "
                "text and similarity. The README explains how to configure a production model."
            )
        if once:
            return
        page = running.app.page_url
        write_lines(
            "",
            *([] if page is None else [f"Search and look at the pictures in a browser: {page}"]),
            f"Serving at {url} until Ctrl-C. To connect an assistant, such as Claude Code:",
            f"  sightline connect claude-code --http {url}",
            "Other clients: sightline connect --help",
        )
        await asyncio.Event().wait()


def _port(settings: Settings) -> int:
    """Return the configured port, or 0 (any) if it is in use, often by another demo."""
    try:
        with socket.create_server((settings.http.host, settings.http.port)):
            return settings.http.port
    except OSError:
        return 0
