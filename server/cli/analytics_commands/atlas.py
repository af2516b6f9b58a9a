"""``sightline atlas``: a map of a collection as one HTML file."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from sightline.server.config.settings import Settings, load
from sightline.storage.errors import ConfigurationError

HELP = "draw a collection as a map: one HTML file, with pictures on hover"

_BATCH = 500


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("collection", help="such as album")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="default: COLLECTION.html"
    )
    parser.add_argument(
        "--colour", metavar="COLUMN", help="colour by this key of the metadata first"
    )
    parser.add_argument(
        "--method", choices=("umap", "pca"), help="default: umap where it is installed"
    )
    parser.add_argument("--most", type=int, default=20_000, help="of more pictures, a share")


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and say on stderr what it shows."""
    path = arguments.output or Path(f"{arguments.collection.replace('/', '_')}.html")
    text, said = asyncio.run(_draw(load(), arguments))
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{str(path)!r} cannot be written: {error.strerror}") from error
    print(f"{path}: {said}, {len(text) / 1e6:.1f} MB", file=sys.stderr)
    return 0


async def _draw(settings: Settings, arguments: argparse.Namespace) -> tuple[str, str]:
    """The page, and what it shows."""
    from sightline.server.database.provider import DatabaseProvider
    from sightline.server.reports import atlas_page
    from sightline.storage.analytics import atlas_data

    databases = DatabaseProvider(settings)
    try:
        database = await databases.open()
        map_ = await atlas_data.lay_out(
            database,
            arguments.collection,
            colour=arguments.colour,
            method=arguments.method,
            most=arguments.most,
        )
        small: dict[str, str] = {}
        for start in range(0, len(map_.ids), _BATCH):
            found = await atlas_data.thumbnails(database, map_.ids[start : start + _BATCH])
            small |= {id_: atlas_page.shrink(jpeg) for id_, jpeg in found.items()}
    finally:
        await databases.close()
    shown = f"{len(map_.ids):,} of {map_.total:,} pictures, laid out by {map_.method.upper()}"
    return atlas_page.render(map_, small, created_at=datetime.now(UTC)), shown
