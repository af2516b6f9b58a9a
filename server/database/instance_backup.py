"""Back up and restore the database and the stored files. All functions block."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import LiteralString

from psycopg import errors, sql

from sightline.server.config import Settings
from sightline.server.config.package_version import package_version
from sightline.server.database import schema_migration
from sightline.server.database.provider import database_dsn
from sightline.storage.blobs import BlobStore
from sightline.storage.db import row_security
from sightline.storage.db.connect import connect
from sightline.storage.db.schema_safety import extension_schema_sync
from sightline.storage.errors import ConfigurationError, SchemaError, StorageError
from sightline.storage.maintenance import backup_archive, dump_restore, original_files
from sightline.storage.postgres import dumps

logger = logging.getLogger(__name__)

# The policies of renamed tables read the bindings of the restored data, so nobody but the owner may
# read them. Views of an analyst need no right on the schema, but on what they read. `ensure_roles`
# grants the rights again.
_RENAME_SCHEMAS = """
DO $$
DECLARE
    reader text;
BEGIN
    FOREACH reader IN ARRAY
        ARRAY['sightline_analyst', 'sightline_principal', 'sightline_analytics_owner']
    LOOP
        IF to_regrole(reader) IS NOT NULL THEN
            EXECUTE format('REVOKE ALL ON SCHEMA analytics, sightline FROM %I', reader);
        END IF;
    END LOOP;
    REVOKE ALL ON SCHEMA analytics, sightline FROM PUBLIC;
    IF to_regrole('sightline_analyst') IS NOT NULL THEN
        REVOKE ALL ON ALL TABLES IN SCHEMA analytics FROM sightline_analyst;
        REVOKE ALL ON ALL FUNCTIONS IN SCHEMA analytics FROM sightline_analyst;
    END IF;
    ALTER SCHEMA analytics RENAME TO analytics_replaced;
    ALTER SCHEMA sightline RENAME TO sightline_replaced;
END $$
"""
_RESTORE_SCHEMAS = """
DROP SCHEMA IF EXISTS analytics, sightline CASCADE;
ALTER SCHEMA analytics_replaced RENAME TO analytics;
ALTER SCHEMA sightline_replaced RENAME TO sightline;
"""
_DROP_REPLACED: LiteralString = "DROP SCHEMA analytics_replaced, sightline_replaced CASCADE"
_MOVE_EXTENSION: LiteralString = "ALTER EXTENSION vector SET SCHEMA {}"
_ARRANGE_ROLES = """
DO $$ BEGIN
    IF to_regproc('sightline.ensure_roles') IS NOT NULL THEN
        PERFORM sightline.ensure_roles();
    END IF;
END $$
"""


def write(
    settings: Settings, file: Path, *, overwrite: bool = False, with_originals: bool = False
) -> backup_archive.Manifest:
    """Write all data to a file atomically, ``with_originals`` also the files of users.

    Raises ConfigurationError if the file exists or its folder does not, SchemaError, StorageError.
    """
    if file.exists() and not overwrite:
        raise ConfigurationError(f"{file} exists. Give another name, or --force to overwrite it.")
    if not file.absolute().parent.is_dir():
        raise ConfigurationError(f"The folder {file.absolute().parent} does not exist.")
    with database_dsn(settings) as dsn:
        revision = schema_migration.current(dsn)
        if revision is None:
            raise SchemaError("The database contains no Sightline schema.")
        objects = BlobStore(settings.data_dir)
        return backup_archive.write(
            dsn,
            objects,
            file,
            version=package_version(),
            revision=revision,
            with_originals=with_originals,
        )


def restore(settings: Settings, file: Path, *, replace: bool = False) -> backup_archive.Manifest:
    """Restore a backup and upgrade its schema.

    A database with collections is rejected; with ``replace``, its data is dropped after a
    successful restore. Raises ConfigurationError, SchemaError, StorageError.
    """
    objects = BlobStore(settings.data_dir)
    with backup_archive.open_backup(file) as (manifest, archive), database_dsn(settings) as dsn:
        _require_compatible(manifest, file, dsn)
        if not replace and _has_collections(dsn):
            raise ConfigurationError(
                "The database already contains collections. Restore into an empty database, or "
                "give --replace to drop them."
            )
        settings.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        backup_archive.require_space(settings.data_dir, file.stat().st_size)
        with tempfile.TemporaryDirectory(prefix=".restore-", dir=settings.data_dir) as temporary:
            extracted = backup_archive.extract(manifest, archive, objects, Path(temporary))
            if schema_migration.current(dsn) is None:
                # Creates the extension and the roles that the dump refers to.
                schema_migration.upgrade(dsn, manifest.revision)
            _require_roles(dsn)
            with _extension_in(dsn, manifest.extension_schema), _keep_until_success(dsn):
                dump_restore.restore(dsn, extracted.dump)
                with connect(dsn) as connection:
                    original_files.use_stored(connection, extracted.originals)
                    # Sets the owner of the views, on which their row-level security depends.
                    connection.execute(_ARRANGE_ROLES)
                schema_migration.upgrade(dsn)
    return manifest


@contextmanager
def _keep_until_success(dsn: str) -> Iterator[None]:
    """Rename the schemas; drop them after success, or restore them after an error."""
    with connect(dsn, autocommit=True) as connection:
        query = "SELECT to_regnamespace('sightline_replaced') IS NOT NULL"
        if connection.execute(query).fetchone() == (True,):
            raise SchemaError(
                "An earlier restore was interrupted. Its schemas sightline_replaced and "
                "analytics_replaced contain the data from before it. If you do not need that, run "
                f"in psql: {_DROP_REPLACED}"
            )
        # Another session may read the data as long as it likes.
        connection.execute("SET lock_timeout = '10s'")
        connection.execute(_RENAME_SCHEMAS)
        try:
            yield
        except BaseException:
            connection.execute("RESET lock_timeout")
            with connection.transaction():
                connection.execute(_RESTORE_SCHEMAS)
                connection.execute(_ARRANGE_ROLES)
            raise
        try:
            connection.execute(_DROP_REPLACED)
        except errors.LockNotAvailable as error:
            raise StorageError(
                "The backup is restored, but the data that it replaced is still there, because "
                "another session uses it. Nobody but the owner can read it. When the session has "
                f"ended, run in psql: {_DROP_REPLACED}"
            ) from error


@contextmanager
def _extension_in(dsn: str, schema: str) -> Iterator[None]:
    """Keep pgvector in the schema that a dump names during the block.

    Raises ConfigurationError if the role of ``dsn`` may not move it.
    """
    with connect(dsn, autocommit=True) as connection:
        own = extension_schema_sync(connection)
        if own is None or own == schema:
            yield
            return
        row = connection.execute("SELECT to_regnamespace(quote_ident(%s))", [schema]).fetchone()
        is_new = row == (None,)
        try:
            with connection.transaction():
                if is_new:
                    connection.execute(_compose("CREATE SCHEMA {}", schema))
                connection.execute(_compose(_MOVE_EXTENSION, schema))
        except errors.InsufficientPrivilege as error:
            raise ConfigurationError(
                f"The backup is from a database with pgvector in the schema {schema!r}; here it is "
                f"in {own!r}. An administrator must move it: CREATE SCHEMA {schema}; ALTER "
                f"EXTENSION vector SET SCHEMA {schema}"
            ) from error
        try:
            yield
        finally:
            connection.execute(_compose(_MOVE_EXTENSION, own))
            if is_new:
                connection.execute(_compose("DROP SCHEMA {}", schema))
            # The search paths of the functions follow.
            schema_migration.upgrade(dsn)


def _compose(text: LiteralString, name: str) -> sql.Composed:
    return sql.SQL(text).format(sql.Identifier(name))


def _require_compatible(manifest: backup_archive.Manifest, file: Path, dsn: str) -> None:
    if manifest.revision not in schema_migration.known_revisions():
        raise SchemaError(
            f"{file} has the schema {manifest.revision}, which this version of Sightline does not "
            f"know. Use Sightline {manifest.sightline}, which wrote the file, or a newer version."
        )
    major = dumps.server_major_version(dsn)
    if major < manifest.postgres:
        raise ConfigurationError(
            f"{file} was written by Postgres {manifest.postgres}, but this is Postgres {major}. "
            f"Restore it into Postgres {manifest.postgres} or newer."
        )


def _require_roles(dsn: str) -> None:
    """Raise SchemaError if the roles are missing to which the dump grants rights."""
    with connect(dsn) as connection:
        problem = row_security.missing_roles_sync(connection)
    if problem is not None:
        raise SchemaError(f"The backup was not restored. {problem}. Then restore it again.")


def _has_collections(dsn: str) -> bool:
    if schema_migration.current(dsn) is None:
        return False
    with connect(dsn) as connection:
        return connection.execute("SELECT FROM sightline.collection LIMIT 1").fetchone() is not None
