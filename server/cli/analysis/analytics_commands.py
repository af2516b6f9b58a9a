"""Analytics: ``sightline analyze`` and ``atlas``."""

from __future__ import annotations

import argparse
import asyncio
from datetime import UTC, datetime
from pathlib import Path

from sightline.server.config import load_settings
from sightline.server.database.provider import open_database
from sightline.server.observability.terminal import write_json, write_lines
from sightline.storage.errors import ConfigurationError
from sightline.storage.files import write_private

_THUMBNAIL_BATCH = 500


def configure_analyze(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "collections", nargs="*", metavar="COLLECTION", help="collections to cluster (default: all)"
    )
    parser.add_argument(
        "--clusters",
        type=int,
        metavar="K",
        help="clusters per collection (default: square root of half its images, at most 100)",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_analyze(arguments: argparse.Namespace) -> None:
    from sightline.storage.analytics import cluster_analysis

    async with open_database(load_settings()) as database:
        results = await cluster_analysis.cluster_collections(
            database, names=arguments.collections or None, k=arguments.clusters
        )
        if not arguments.json:
            write_lines(
                *(
                    f"{each.collection}: {each.assets:,} images in {each.k} clusters "
                    f"(embedding space {each.embedding_space_id}), "
                    f"mean distance {each.mean_distance:.3f}"
                    for each in results
                )
            )
        compared = await cluster_analysis.find_near_duplicates(
            database, progress=lambda line: write_lines(line, error=True)
        )
    if arguments.json:
        clustered = [
            {
                "collection": each.collection,
                "assets": each.assets,
                "clusters": each.k,
                "space_id": each.embedding_space_id,
                "mean_distance": each.mean_distance,
            }
            for each in results
        ]
        write_json({"clustered": clustered, "compared_images": compared})
    else:
        write_lines(f"{compared:,} new images compared")


def configure_atlas(parser: argparse.ArgumentParser) -> None:
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
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_atlas(arguments: argparse.Namespace) -> None:
    """Write the file, and print a summary on stderr."""
    path = arguments.output or Path(f"{arguments.collection.replace('/', '_')}.html")
    html, summary = asyncio.run(_draw_atlas(arguments))
    try:
        write_private(path, html)
    except OSError as error:
        raise ConfigurationError(f"Cannot write {str(path)!r}: {error.strerror}.") from error
    write_lines(f"{path}: {summary}, {len(html) / 1e6:.1f} MB", error=True)
    if arguments.json:
        write_json({"file": str(path), "bytes": path.stat().st_size})


async def _draw_atlas(arguments: argparse.Namespace) -> tuple[str, str]:
    """Return the HTML page and a summary."""
    from sightline.server.reports import atlas_page
    from sightline.storage.analytics import atlas_data
    from sightline.storage.records import assets

    async with open_database(load_settings()) as database:
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
            async with database.connection() as connection:
                jpegs = await assets.thumbnails(connection, ids)
            thumbnails |= {id_: atlas_page.shrink(jpeg) for id_, jpeg in jpegs.items()}
    summary = f"{len(map_.ids):,} of {map_.total:,} images, laid out by {map_.method.upper()}"
    return atlas_page.render(map_, thumbnails, created_at=datetime.now(UTC)), summary
