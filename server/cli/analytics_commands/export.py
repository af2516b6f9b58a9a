"""``sightline export``: a view of the schema ``analytics`` as a file."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from sightline.server.config.settings import Settings, load

HELP = "write a view of the schema analytics to a file, vectors intact"

_FORMATS = ("csv", "jsonl", "npy", "parquet")


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("view", help="such as assets, searches or embeddings")
    parser.add_argument("--format", choices=_FORMATS, default="csv")
    parser.add_argument("--space", type=int, help="of embeddings, the vectors of one space alone")
    parser.add_argument(
        "-o", "--output", type=Path, help="file to write (default: VIEW.FORMAT)", metavar="FILE"
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the file, and say on stderr what is in it."""
    path = arguments.output or Path(f"{arguments.view}.{arguments.format}")
    rows = asyncio.run(_export(load(), arguments, path))
    print(f"{rows:,} rows in {path}", file=sys.stderr)
    return 0


async def _export(settings: Settings, arguments: argparse.Namespace, path: Path) -> int:
    from sightline.server.database.provider import DatabaseProvider
    from sightline.storage.analytics.view_export import export

    databases = DatabaseProvider(settings)
    try:
        database = await databases.open()
        return await export(database, arguments.view, arguments.format, path, space=arguments.space)
    finally:
        await databases.close()
