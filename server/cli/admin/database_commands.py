"""Database: ``sightline migrate``, ``check``, ``backup`` and ``restore``."""

from __future__ import annotations

import argparse
from pathlib import Path

from sightline.server.config import load_settings
from sightline.server.database import instance_backup, schema_migration
from sightline.server.database.provider import database_dsn, open_database
from sightline.server.observability.terminal import write_lines
from sightline.storage.blobs import BlobStore
from sightline.storage.maintenance import integrity_check


def configure_migrate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--revision", default="head", help="target revision (default: head)")


def run_migrate(arguments: argparse.Namespace) -> None:
    with database_dsn(load_settings()) as dsn:
        schema_migration.upgrade(dsn, arguments.revision)
    write_lines(f"The schema is at {schema_migration.head()}.")


def configure_check(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--repair", action="store_true", help="repair problems where possible")


async def run_check(arguments: argparse.Namespace) -> int:
    """Print one line per problem; return 1 if any problem is left."""
    settings = load_settings()
    if arguments.repair:
        from sightline.server.cli.cli_context import open_dependencies
        from sightline.storage.maintenance.repair import Repair

        async with open_dependencies(settings) as deps:
            database, encoder = await deps.database.get(), deps.encoder.get
            repair = Repair(database, deps.blobs, encoder, deps.ingest_options)
            for action in await repair.run():
                write_lines(f"repaired: {action.code}, {action.count}: {action.action}")
    async with open_database(settings) as database:
        findings = await integrity_check.check(database, BlobStore(settings.data_dir))
    write_lines(*map(str, findings), f"{len(findings) or 'No'} problems found.")
    return 1 if findings else 0


def configure_backup(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file to write")
    parser.add_argument("--force", action="store_true", help="overwrite an existing file")


def run_backup(arguments: argparse.Namespace) -> None:
    manifest = instance_backup.write(load_settings(), arguments.file, overwrite=arguments.force)
    write_lines(
        f"{arguments.file}: database with schema {manifest.revision} and {manifest.objects:,} "
        f"stored files, {arguments.file.stat().st_size:,} bytes. Protect it like the data itself."
    )


def configure_restore(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="file to read")
    parser.add_argument(
        "--replace", action="store_true", help="delete the current data of the database first"
    )


def run_restore(arguments: argparse.Namespace) -> None:
    manifest = instance_backup.restore(load_settings(), arguments.file, replace=arguments.replace)
    write_lines(
        f"Restored schema {manifest.revision} and {manifest.objects:,} stored files. "
        "Create the analyst logins again: sightline grant-analyst NAME"
    )
