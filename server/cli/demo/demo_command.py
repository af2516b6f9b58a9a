"""``sightline demo``: an album, a server over it, a tour by a real client, and how to connect."""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sightline.server.cli.connect import server_entry, snippet
from sightline.server.cli.ingest import ingest_paths, print_summary, progress_bar
from sightline.server.config import Settings, load_settings

if TYPE_CHECKING:
    from sightline.server.cli.demo.demo_album import Album

HELP = "make an album, serve it, and show each tool at work (built-in models, no download)"

_PATIENCE_SECONDS = 600.0


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("--images", type=Path, help="a folder of your own instead of the album")
    parser.add_argument("--once", action="store_true", help="end after the tour")


def run(arguments: argparse.Namespace) -> int:
    """Ingest, serve, tour; then keep serving until Ctrl-C, unless ``--once``."""
    from rich.console import Console

    from sightline.server.cli.demo.demo_album import COLLECTION, OWN_COLLECTION, drawn_album
    from sightline.server.observability import logs

    settings = load_settings(encoder="builtin", loading_wait_seconds=_PATIENCE_SECONDS, log_level="warning")
    logs.configure(settings)
    album: Album | None = None
    if arguments.images is None:
        print("Drawing the album (the first time only) ...", flush=True)
        album = drawn_album(settings.data_dir)
        folder, collection = album.folder, COLLECTION
    else:
        folder, collection = arguments.images.expanduser(), OWN_COLLECTION
    with progress_bar(Console(stderr=True), shown=True) as progress:
        summary = asyncio.run(ingest_paths(settings, [folder], collection, progress))
    print_summary(summary, Console())
    if summary.nothing_ingested:
        print(f"Nothing in {folder} could be ingested.", file=sys.stderr)
        return 1
    with _vision_model() as vision:
        asyncio.run(_serve(settings, collection, album, vision, once=arguments.once))
    return 0


@contextmanager
def _vision_model() -> Iterator[dict[str, str]]:
    """The built-in model that answers questions, served on a port of this machine; its settings."""
    from sightline.server.models.model_server.builtin.builtin_server import serving
    from sightline.server.models.model_server.builtin.openai_app import BUILTIN

    with serving(BUILTIN) as url:
        yield {"vlm_base_url": url, "vlm_model": BUILTIN.name}


async def _serve(
    settings: Settings, collection: str, album: Album | None, vision: dict[str, str], *, once: bool
) -> None:
    """The server and the tour; ``album`` is ``None`` for a person's own pictures.

    ``vision`` are the settings of the model that answers questions.
    """
    from mcp import Client

    from sightline.server.cli.demo.tour import Guide, drawn_tour, own_tour
    from sightline.server.http.http_server import start_http_server
    from sightline.server.reports import tour_page
    from sightline.training.world.core.splits import seed_of
    from sightline.training.world.export import jpeg_bytes
    from sightline.training.world.families import draw

    upload = jpeg_bytes(draw("street", seed_of("test", 900_000), "test"))
    settings = settings.model_copy(update={"http_port": _port(settings), **vision})
    async with start_http_server(settings) as (url, _):
        async with Client(url) as client:
            guide = Guide(client, lambda line: print(line, flush=True))
            if album is not None:
                await drawn_tour(guide, collection, upload, album, answers=bool(vision))
            else:
                await own_tour(guide, collection, upload)
        path = settings.data_dir / "demo" / "tour.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(tour_page.render(guide.steps), encoding="utf-8")
        print(f"\nThe pictures of this tour: {path.as_uri()}")
        print(
            "The answers are the built-in model's, which is tiny and wrong one time in six even "
            "here: they show the form. The README says how to set a real one."
        )
        if album is None:
            print(
                "The built-in encoder knows drawn scenes only: photographs are found by captions, "
                "text and likeness. The README says how to set a production model."
            )
        if once:
            return
        print(f"\nServing at {url} until Ctrl-C. Connect an assistant, for example Claude Code:")
        print("  " + snippet("claude-code", "sightline", server_entry(url, {})))
        print("For others: .venv/bin/sightline connect claude-desktop|cursor|vscode|json")
        await asyncio.Event().wait()


def _port(settings: Settings) -> int:
    """The port that is set, or 0 (any) where another program has it: often an earlier demo."""
    try:
        with socket.create_server((settings.http.host, settings.http.port)):
            return settings.http.port
    except OSError:
        return 0
