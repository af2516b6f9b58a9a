"""Backups of what the settings name, and bringing them back. All functions block."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import psycopg

from sightline.server.config.settings import Settings
from sightline.server.database import schema_migration
from sightline.server.database.provider import database_dsn
from sightline.storage.blobs import ObjectStore
from sightline.storage.errors import ConfigurationError, SchemaError
from sightline.storage.maintenance import backup_archive
from sightline.storage.postgres import dumps

logger = logging.getLogger(__name__)

_ANY_COLLECTION = "SELECT EXISTS (SELECT FROM sightline.collection)"
_DROP = "DROP SCHEMA IF EXISTS analytics, sightline CASCADE"
_PUT_ASIDE = (
    "ALTER SCHEMA analytics RENAME TO analytics_replaced",
    "ALTER SCHEMA sightline RENAME TO sightline_replaced",
)
_PUT_BACK = (
    _DROP,
    "ALTER SCHEMA analytics_replaced RENAME TO analytics",
    "ALTER SCHEMA sightline_replaced RENAME TO sightline",
)
_ARRANGES = "SELECT to_regproc('sightline.ensure_roles') IS NOT NULL"
_ARRANGE = "SELECT sightline.ensure_roles()"
_DROP_REPLACED = "DROP SCHEMA analytics_replaced, sightline_replaced CASCADE"


def write(settings: Settings, file: Path, *, overwrite: bool = False) -> backup_archive.Manifest:
    """Write everything to ``file``, whole or not at all.

    Raises ConfigurationError where the file exists or its folder does not, SchemaError,
    StorageError.
    """
    if file.exists() and not overwrite:
        raise ConfigurationError(f"{file} exists; give another name, or --force to replace it")
    if not file.absolute().parent.is_dir():
        raise ConfigurationError(f"there is no folder {file.absolute().parent}")
    with database_dsn(settings) as dsn:
        revision = schema_migration.current(dsn)
        if revision is None:
            raise SchemaError("the database holds nothing of Sightline's")
        objects = ObjectStore(settings.data_dir)
        return backup_archive.write(
            dsn, objects, file, version=version("sightline"), revision=revision
        )


def restore(settings: Settings, file: Path, *, replace: bool = False) -> backup_archive.Manifest:
    """Bring everything back from ``file``, and its schema to this version's.

    Where there are collections already, that is refused; with ``replace`` they are dropped once
    the backup is there. Raises ConfigurationError, SchemaError, StorageError.
    """
    objects = ObjectStore(settings.data_dir)
    with backup_archive.opened(file) as (manifest, archive), database_dsn(settings) as dsn:
        _require_fit(manifest, file, dsn)
        if not replace and _holds_something(dsn):
            raise ConfigurationError(
                "the database holds collections already: restore into an empty one, or give "
                "--replace to drop what there is"
            )
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.data_dir) as beside:
            dump = backup_archive.extract(manifest, archive, objects, Path(beside))
            if schema_migration.current(dsn) is None:
                # The extension, and the roles that the grants in the dump are for.
                schema_migration.upgrade(dsn, manifest.revision)
            with _put_aside(dsn):
                dumps.load(dsn, dump)
                _arrange_owners(dsn)
                schema_migration.upgrade(dsn)
    return manifest


@contextmanager
def _put_aside(dsn: str) -> Iterator[None]:
    """What there is comes back where the block fails, and is dropped where it does not."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in _PUT_ASIDE:
            connection.execute(statement)
        try:
            yield
        except BaseException:
            for statement in _PUT_BACK:
                connection.execute(statement)
            raise
        connection.execute(_DROP_REPLACED)


def _arrange_owners(dsn: str) -> None:
    """The views' owner is what row-level security judges their readers by."""
    with psycopg.connect(dsn) as connection:
        if connection.execute(_ARRANGES).fetchone() == (True,):
            connection.execute(_ARRANGE)


def _require_fit(manifest: backup_archive.Manifest, file: Path, dsn: str) -> None:
    if not schema_migration.knows(manifest.revision):
        raise SchemaError(
            f"{file} holds the schema {manifest.revision}, which this version of Sightline does "
            f"not know; use {manifest.sightline}, which wrote it, or a newer one"
        )
    major = dumps.server_major(dsn)
    if major < manifest.postgres:
        raise ConfigurationError(
            f"{file} was written from Postgres {manifest.postgres}, and this is Postgres {major}; "
            f"restore it into {manifest.postgres} or newer"
        )


def _holds_something(dsn: str) -> bool:
    if schema_migration.current(dsn) is None:
        return False
    with psycopg.connect(dsn) as connection:
        return connection.execute(_ANY_COLLECTION).fetchone() == (True,)
