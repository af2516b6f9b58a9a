"""``sightline analyze``: cluster images and find near-duplicates for analytics."""

from __future__ import annotations

import argparse
import asyncio
import sys

from sightline.server.config import Settings, load_settings

HELP = "cluster the images of collections and find near-duplicates"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "collections", nargs="*", metavar="COLLECTION", help="collections to cluster (default: all)"
    )
    parser.add_argument(
        "--clusters",
        type=int,
        metavar="K",
        help="clusters per collection (default: square root of half its images, at most 100)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one line per collection."""
    asyncio.run(_analyze(load_settings(), arguments))
    return 0


async def _analyze(settings: Settings, arguments: argparse.Namespace) -> None:
    from sightline.server.database.provider import open_database
    from sightline.storage.analytics import cluster_analysis

    async with open_database(settings) as database:
        for result in await cluster_analysis.cluster_collections(
            database, names=arguments.collections or None, k=arguments.clusters
        ):
            print(
                f"{result.collection}: {result.assets:,} images in {result.k} clusters "
                f"(embedding space {result.embedding_space_id}), "
                f"mean distance {result.mean_distance:.3f}"
            )
        compared = await cluster_analysis.find_near_duplicates(
            database, progress=lambda line: print(line, file=sys.stderr)
        )
        print(f"{compared:,} new images compared")
