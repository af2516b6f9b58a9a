"""Database: ``sightline migrate``, ``check``, ``backup`` and ``restore``."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sightline.server.config import load_settings
from sightline.server.database import instance_backup, schema_migration
from sightline.server.database.provider import database_dsn, open_database
from sightline.server.database.schema_migration import head
from sightline.server.observability.terminal import write_json, write_lines
from sightline.storage.blobs import BlobStore
from sightline.storage.db import row_security
from sightline.storage.db.connect import connect
from sightline.storage.maintenance import integrity_check
from sightline.storage.maintenance.backup_archive import Manifest


def configure_migrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--revision", default="head", help="target revision (default: head)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_migrate(arguments: argparse.Namespace) -> None:
    with database_dsn(load_settings()) as dsn:
        before = schema_migration.current(dsn)
        schema_migration.upgrade(dsn, arguments.revision)
        after = schema_migration.current(dsn)
        problem = None
        if after == head():
            with connect(dsn) as connection:
                problem = row_security.missing_roles_sync(connection)
    if problem is not None:
        write_lines(problem, error=True)
    if arguments.json:
        write_json({"revision": after, "previous_revision": before, "newest": head()})
    else:
        write_lines(f"The schema is at {after}.")


def configure_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="repair problems where possible")
    parser.add_argument("--json", action="store_true", help="print JSON")


async def run_check(arguments: argparse.Namespace) -> int:
    """Print one line per problem; return 1 if any problem is left."""
    settings, repaired = load_settings(), []
    if arguments.repair:
        from sightline.server.cli.cli_context import open_dependencies
        from sightline.storage.maintenance.repair import Repair

        async with open_dependencies(settings) as deps:
            database, encoder = await deps.database.get(), deps.encoder.get
            repair = Repair(database, deps.blobs, encoder, deps.ingest_options)
            repaired = list(await repair.run())
    async with open_database(settings) as database:
        findings = await integrity_check.check(database, BlobStore(settings.data_dir))
    if arguments.json:
        write_json(
            {
                "repaired": [asdict(each) for each in repaired],
                "problems": [asdict(each) for each in findings],
            }
        )
    else:
        write_lines(
            *(f"repaired: {each.code}, {each.count}: {each.action}" for each in repaired),
            *map(str, findings),
            f"{len(findings) or 'No'} problems found.",
        )
    return 1 if findings else 0


def configure_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")
    parser.add_argument(
        "--with-originals",
        action="store_true",
        help="include the ingested files, which otherwise stay where they are",
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_backup(arguments: argparse.Namespace) -> None:
    manifest = instance_backup.write(
        load_settings(),
        arguments.file,
        overwrite=arguments.force,
        with_originals=arguments.with_originals,
    )
    if arguments.json:
        size = arguments.file.stat().st_size
        write_json({"file": str(arguments.file), "bytes": size, **_contents(manifest)})
        return
    write_lines(
        f"{arguments.file}: database with schema {manifest.revision}, {manifest.objects:,} "
        f"stored files and {manifest.originals:,} originals, {arguments.file.stat().st_size:,} "
        "bytes. Protect it like the data itself."
    )
    if manifest.outside:
        write_lines(
            f"{manifest.outside:,} ingested files are not in this backup. They lie in "
            f"{manifest.outside_folder}; "
            + (
                "they are missing or have changed since the ingest (sightline check)."
                if arguments.with_originals
                else "include them with --with-originals, or back up this folder, too."
            ),
            error=True,
        )


def _contents(manifest: Manifest) -> dict[str, Any]:
    return {
        "revision": manifest.revision,
        "stored_files": manifest.objects,
        "originals": manifest.originals,
        "files_outside": manifest.outside,
        "outside_folder": manifest.outside_folder or None,
    }


def configure_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file to read")
    parser.add_argument(
        "--replace", action="store_true", help="delete the current data of the database first"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")


def run_restore(arguments: argparse.Namespace) -> None:
    manifest = instance_backup.restore(load_settings(), arguments.file, replace=arguments.replace)
    if arguments.json:
        write_json({"file": str(arguments.file), **_contents(manifest)})
        return
    write_lines(
        f"Restored schema {manifest.revision}, {manifest.objects:,} stored files and "
        f"{manifest.originals:,} originals, which are in the data folder now. Create the analyst "
        "logins again: sightline grant-analyst NAME"
    )
    if manifest.outside:
        write_lines(
            f"{manifest.outside:,} ingested files are not in the backup. They are read from "
            f"{manifest.outside_folder}, where they lay when it was written.",
            error=True,
        )
