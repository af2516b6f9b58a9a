"""``sightline check``: do the stored things still fit together?"""

from __future__ import annotations

import argparse
import asyncio

from sightline.server.settings import Settings, load

HELP = "check that tables, vectors and stored files fit together"


def configure(parser: argparse.ArgumentParser) -> None:
    """The command takes no arguments."""


def run(arguments: argparse.Namespace) -> int:  # noqa: ARG001 - every command is given them
    """Print one line a finding; exit code 1 where there is any."""
    return asyncio.run(_check(load()))


async def _check(settings: Settings) -> int:
    from sightline.server.databases import Databases
    from sightline.storage.check import check
    from sightline.storage.objects import ObjectStore

    databases = Databases(settings)
    try:
        findings = await check(await databases.open(), ObjectStore(settings.data_dir))
    finally:
        await databases.close()
    for finding in findings:
        print(finding)
    print(f"{len(findings)} findings." if findings else "Everything fits together.")
    return 1 if findings else 0
