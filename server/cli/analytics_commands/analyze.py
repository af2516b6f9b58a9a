"""``sightline analyze``: fills what the schema ``analytics`` cannot work out while it is asked."""

from __future__ import annotations

import argparse
import asyncio
import sys

from sightline.server.config.settings import Settings, load

HELP = "group the pictures of collections, and find those that are nearly the same"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "collections", nargs="*", metavar="COLLECTION", help="group these alone (default: all)"
    )
    parser.add_argument(
        "--clusters",
        type=int,
        metavar="K",
        help="so many groups of each (default: the root of half its pictures, 100 at most)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Say what was done, a line for each collection."""
    asyncio.run(_analyze(load(), arguments))
    return 0


async def _analyze(settings: Settings, arguments: argparse.Namespace) -> None:
    from sightline.server.database.provider import DatabaseProvider
    from sightline.storage.analytics import cluster_analysis

    databases = DatabaseProvider(settings)
    try:
        database = await databases.open()
        for done in await cluster_analysis.cluster(
            database, names=arguments.collections or None, k=arguments.clusters
        ):
            print(
                f"{done.collection}: {done.assets:,} pictures in {done.k} clusters "
                f"(space {done.embedding_space_id}), mean distance {done.mean_distance:.3f}"
            )
        compared = await cluster_analysis.compare(
            database, report=lambda line: print(line, file=sys.stderr)
        )
        print(f"{compared:,} pictures compared that were new")
    finally:
        await databases.close()
