"""``sightline failures``: list failed files and unreadable pages."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from sightline.server.config import load_settings
from sightline.server.database.provider import open_database
from sightline.server.observability import terminal
from sightline.storage.ingest import failed_files
from sightline.storage.ingest.failed_files import RecordedFailure, UnreadableImage
from sightline.storage.records import collections


def configure_failures(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--collection", help="only of this collection (default: all)")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_failures(arguments: argparse.Namespace) -> None:
    """Print what failed with reasons and advice."""
    async with open_database(load_settings()) as database, database.connection() as connection:
        name = arguments.collection
        if name is not None:
            name = (await collections.get(connection, name)).name
        failed = await failed_files.failed_files(connection, name)
        unreadable = await failed_files.unreadable_images(connection, name)
    if arguments.json:
        terminal.write_json(
            {
                "failed": [_failed_as_json(each) for each in failed],
                "unreadable": [_unreadable_as_json(each) for each in unreadable],
            }
        )
    else:
        _print_failed(failed)
        _print_unreadable(unreadable)


def _print_failed(failed: Sequence[RecordedFailure]) -> None:
    terminal.write_lines(f"{len(failed) or 'no'} failed file{'' if len(failed) == 1 else 's'}")
    by_code: dict[str, list[RecordedFailure]] = {}
    for each in failed:
        by_code.setdefault(each.code, []).append(each)
    for code, files in by_code.items():
        terminal.write_lines(f"{code}, {len(files)}: {files[0].advice}")
        terminal.write_lines(
            *(
                f"  {each.collection}: {each.name}: {each.reason} ({each.failed_at:%Y-%m-%d %H:%M})"
                for each in files
            )
        )
    for collection in sorted({each.collection for each in failed}):
        terminal.write_lines(
            f"to try again: sightline ingest --retry-failed --collection {collection}"
        )


def _print_unreadable(unreadable: Sequence[UnreadableImage]) -> None:
    if not unreadable:
        return
    terminal.write_lines(f"unreadable, {len(unreadable)}: {failed_files.UNREADABLE_ADVICE}")
    for each in unreadable:
        place = "" if each.page is None else f", page {each.page}"
        place += "" if each.seconds is None else f", {each.seconds:g} s"
        terminal.write_lines(f"  {each.collection}: {each.name}{place} (asset {each.asset})")


def _failed_as_json(each: RecordedFailure) -> dict[str, object]:
    return {
        "collection": each.collection,
        "name": each.name,
        "location": each.location,
        "code": each.code,
        "reason": each.reason,
        "failed_at": each.failed_at.isoformat(),
        "advice": each.advice,
    }


def _unreadable_as_json(each: UnreadableImage) -> dict[str, object]:
    return {
        "collection": each.collection,
        "name": each.name,
        "asset": each.asset,
        "page": each.page,
        "seconds": each.seconds,
        "ingested_at": each.ingested_at.isoformat(),
        "advice": failed_files.UNREADABLE_ADVICE,
    }
