"""``sightline check``: check and repair the consistency of stored data."""

from __future__ import annotations

import argparse
import asyncio

from sightline.server.cli.cli_context import open_dependencies
from sightline.server.config import Settings, load_settings

HELP = "check the consistency of tables, vectors and stored files"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="repair problems where possible")


def run(arguments: argparse.Namespace) -> int:
    """Print one line per problem; return 1 if any problem is left."""
    settings = load_settings()
    if arguments.repair:
        asyncio.run(_repair(settings))
    return asyncio.run(_check(settings))


async def _repair(settings: Settings) -> None:
    from sightline.storage.maintenance.repair import Repair

    async with open_dependencies(settings) as deps:
        repair = Repair(
            await deps.database.get(), deps.blobs, deps.encoder.get, deps.ingest_options
        )
        for action in await repair.run():
            print(f"repaired: {action.code}, {action.count}: {action.action}")


async def _check(settings: Settings) -> int:
    from sightline.server.database.provider import open_database
    from sightline.storage.blobs import BlobStore
    from sightline.storage.maintenance.integrity_check import check

    async with open_database(settings) as database:
        findings = await check(database, BlobStore(settings.data_dir))
    for finding in findings:
        print(finding)
    print(f"{len(findings)} problems found." if findings else "No problems found.")
    return 1 if findings else 0
