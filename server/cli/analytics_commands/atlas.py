"""``sightline atlas``: draw a map of a collection as one HTML file."""

from __future__ import annotations

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path

from sightline.server.config import Settings, load_settings
from sightline.storage.errors import ConfigurationError

HELP = "draw a map of a collection: one HTML file that shows images on hover"

_THUMBNAIL_BATCH = 500


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("collection", help="collection, such as album")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="FILE", help="file to write (default: COLLECTION.html)"
    )
    parser.add_argument(
        "--color", metavar="KEY", help="metadata key that is selected for the colors first"
    )
    parser.add_argument(
        "--method", choices=("umap", "pca"), help="projection (default: umap if installed)"
    )
    parser.add_argument(
        "--max-images", type=int, default=20_000, help="draw a sample of larger collections"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and print a summary on stderr."""
    path = arguments.output or Path(f"{arguments.collection.replace('/', '_')}.html")
    html, summary = asyncio.run(_draw(load_settings(), arguments))
    try:
        path.write_text(html, encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"Cannot write {str(path)!r}: {error.strerror}.") from error
    print(f"{path}: {summary}, {len(html) / 1e6:.1f} MB", file=sys.stderr)
    return 0


async def _draw(settings: Settings, arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the HTML page and a summary."""
    from sightline.server.database.provider import open_database
    from sightline.server.reports import atlas_page
    from sightline.storage.analytics import atlas_data

    async with open_database(settings) as database:
        map_ = await atlas_data.build_map(
            database,
            arguments.collection,
            color=arguments.color,
            method=arguments.method,
            max_points=arguments.max_images,
        )
        thumbnails: dict[str, str] = {}
        for start in range(0, len(map_.ids), _THUMBNAIL_BATCH):
            ids = map_.ids[start : start + _THUMBNAIL_BATCH]
            for id_, jpeg in (await atlas_data.thumbnails(database, ids)).items():
                thumbnails[id_] = atlas_page.shrink(jpeg)
    summary = f"{len(map_.ids):,} of {map_.total:,} images, laid out by {map_.method.upper()}"
    return atlas_page.render(map_, thumbnails, created_at=datetime.now(UTC)), summary
