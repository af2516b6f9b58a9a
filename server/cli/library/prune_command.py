"""``sightline prune``: forget the files that do not exist any more."""

from __future__ import annotations

import argparse
import itertools
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from glob import has_magic
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sightline.server.cli.cli_context import confirm
from sightline.server.cli.library.content_commands import deleted_text
from sightline.server.config import Settings, load_settings
from sightline.server.database.provider import open_database
from sightline.server.observability.terminal import write_json, write_lines
from sightline.storage.blobs import BlobStore
from sightline.storage.maintenance.missing_files import (
    MissingFiles,
    SourceFile,
    find_missing,
    forget_files,
)
from sightline.storage.records.deletion import DeletionResult

_MAX_FOLDERS: Final = 20


def configure_prune(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="*", metavar="PATH", help="only below these folders")
    parser.add_argument("--collection", help="collection (SIGHTLINE_DEFAULT_COLLECTION)")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--dry-run", action="store_true", help="only list what would be forgotten")
    what.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--force",
        action="store_true",
        help="also forget files of folders that look like a disk that is not mounted",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_prune(arguments: argparse.Namespace) -> int:
    """Forget missing files after a question; return 1 if doubtful ones are left."""
    settings = load_settings()
    collection = arguments.collection or settings.default_collection
    within = real_roots(arguments.paths) or None
    async with open_database(settings) as database:
        missing = await find_missing(database, collection, within=within)
        files = missing.with_doubtful() if arguments.force else missing.deleted
        if not arguments.json:
            _print_missing(missing, files, forced=arguments.force)
        deleted = None
        if files and not arguments.dry_run:
            confirm(
                f"Forget {len(files):,} files with their assets and annotations? It cannot be "
                "undone.",
                yes=arguments.yes,
            )
            blobs = BlobStore(settings.data_dir)
            deleted = await forget_files(database, blobs, missing.collection, files)
    if arguments.json:
        write_json(prune_as_json(missing, files, deleted))
    elif deleted is not None:
        write_lines(deleted_text(deleted))
    return 1 if missing.doubtful and not arguments.force else 0


def real_roots(paths: Sequence[str]) -> list[str]:
    """Return the real paths of inputs; of a pattern, the folder that it starts in."""
    roots = []
    for given in paths:
        path = Path(os.path.expanduser(given))  # noqa: PTH111 - raises no RuntimeError
        fixed = itertools.takewhile(lambda part: not has_magic(part), path.parts)
        roots.append(os.path.realpath(path if os.path.lexists(path) else Path(*fixed)))
    return roots


async def prune_after_ingest(
    settings: Settings, collection: str, paths: Sequence[str]
) -> tuple[MissingFiles, DeletionResult]:
    """Forget the missing files below the paths of an ingest, except doubtful ones."""
    async with open_database(settings) as database:
        missing = await find_missing(database, collection, within=real_roots(paths))
        blobs = BlobStore(settings.data_dir)
        return missing, await forget_files(database, blobs, missing.collection, missing.deleted)


def prune_lines(missing: MissingFiles, deleted: DeletionResult) -> list[str]:
    """Return what was forgotten, and what was kept."""
    return [*([deleted_text(deleted)] if deleted.sources else []), *doubt_lines(missing)]


def doubt_lines(missing: MissingFiles) -> list[str]:
    """Return one line per folder whose missing files are kept, and why."""
    lines = [
        f"kept {len(each.files):,} missing files: {each.folder} {each.reason}"
        for each in missing.doubtful[:_MAX_FOLDERS]
    ]
    if (more := len(missing.doubtful) - _MAX_FOLDERS) > 0:
        lines.append(f"and {more:,} more folders")
    if lines:
        name = missing.collection.name
        lines.append(f"To forget them, too: sightline prune --force --collection {name}")
    return lines


def prune_as_json(
    missing: MissingFiles, files: Sequence[SourceFile], deleted: DeletionResult | None
) -> dict[str, Any]:
    """Return what is missing, what was chosen, and what was deleted."""
    return {
        "collection": missing.collection.name,
        "checked": missing.checked,
        "missing": [_file_as_json(each) for each in files],
        "doubtful": [
            {
                "folder": each.folder,
                "reason": each.reason,
                "files": [_file_as_json(file) for file in each.files],
            }
            for each in missing.doubtful
        ],
        "deleted": None if deleted is None else asdict(deleted),
    }


def _file_as_json(file: SourceFile) -> dict[str, Any]:
    return {"name": file.name, "path": file.path, "assets": file.assets}


def _print_missing(missing: MissingFiles, files: Sequence[SourceFile], *, forced: bool) -> None:
    name = missing.collection.name
    write_lines(f"{name}: {len(files):,} of {missing.checked:,} files do not exist any more")
    folders = Counter(str(PurePosixPath(each.path).parent) for each in files)
    write_lines(
        *(f"  {count:,} in {folder}" for folder, count in folders.most_common(_MAX_FOLDERS))
    )
    if (more := len(folders) - _MAX_FOLDERS) > 0:
        write_lines(f"  and {more:,} more folders")
    if not forced:
        write_lines(*doubt_lines(missing))
