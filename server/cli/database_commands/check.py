"""``sightline check``: do the stored things still fit together?"""

from __future__ import annotations

import argparse
import asyncio

from sightline.server.config.settings import Settings, load

HELP = "check that tables, vectors and stored files fit together"


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "--repair", action="store_true", help="mend what can be mended, and say what was done"
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one line a finding; exit code 1 where there is any left."""
    settings = load()
    if arguments.repair:
        asyncio.run(_repair(settings))
    return asyncio.run(_check(settings))


async def _repair(settings: Settings) -> None:
    from sightline.server.cli import cli_context
    from sightline.storage.maintenance.repair import Repair

    async with cli_context.opened(settings) as deps:
        repair = Repair(
            await deps.database.get(), deps.objects, deps.encoder.get, deps.ingest_options
        )
        for mended in await repair.run():
            print(f"mended: {mended.code}, {mended.count}: {mended.what}")


async def _check(settings: Settings) -> int:
    from sightline.server.database.provider import DatabaseProvider
    from sightline.storage.blobs import ObjectStore
    from sightline.storage.maintenance.integrity_check import check

    databases = DatabaseProvider(settings)
    try:
        findings = await check(await databases.open(), ObjectStore(settings.data_dir))
    finally:
        await databases.close()
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings." if findings else "Everything fits together.")
    return 1 if findings else 0
