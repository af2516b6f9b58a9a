"""Upgrade and check the database schema. All functions block."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy.exc import SQLAlchemyError

from sightline.storage.db.connect import connect
from sightline.storage.errors import (
    DatabaseUnavailableError,
    LockTimeoutError,
    SchemaError,
    choices,
    shown,
)

#: Alembic stores its state in globals of the process.
_alembic_lock = threading.Lock()


@contextmanager
def _alembic_config(dsn: str | None = None) -> Iterator[Config]:
    with as_file(files("sightline.migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["dsn"] = dsn
        yield config


@contextmanager
def _wrap_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.errors.LockNotAvailable as error:
        raise LockTimeoutError(
            f"The schema was not changed, because another session keeps a table locked: {error}. "
            "End it (it is in pg_stat_activity) and try again."
        ) from error
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(
            "The database cannot be reached. Try again.", details=str(error)
        ) from error
    except (psycopg.Error, SQLAlchemyError, CommandError, RuntimeError) as error:
        raise SchemaError(f"the schema migration failed: {error}") from error


def head() -> str:
    """Return the schema revision that this version of Sightline needs."""
    return known_revisions()[0]


def current(dsn: str) -> str | None:
    """Return the revision of a database, or None if it has no Sightline schema."""
    with _wrap_errors(), connect(dsn) as connection:
        table = connection.execute("SELECT to_regclass('sightline.schema_version')").fetchone()
        if table == (None,):
            return None
        row = connection.execute("SELECT version_num FROM sightline.schema_version").fetchone()
    return None if row is None else str(row[0])


def upgrade(dsn: str, revision: str = "head", *, lock_timeout_seconds: float = 600.0) -> None:
    """Apply missing migrations. Several processes and threads may run this at once.

    Waits ``lock_timeout_seconds`` for another process that migrates. Raises SchemaError, also for
    an unknown ``revision`` or one before that of the database, and if others can create objects in
    a schema of the search path, LockTimeoutError and DatabaseUnavailableError.
    """
    before = current(dsn)
    _require_known(before)
    _require_upgrade(before, revision)
    with _wrap_errors(), _alembic_config(dsn) as config, _alembic_lock:
        config.attributes["lock_timeout_seconds"] = lock_timeout_seconds
        command.upgrade(config, revision)


def downgrade(dsn: str, revision: str, *, lock_timeout_seconds: float = 600.0) -> None:
    """Revert migrations down to a revision; ``base`` drops all tables and data."""
    _require_known(current(dsn))
    with _wrap_errors(), _alembic_config(dsn) as config, _alembic_lock:
        config.attributes["lock_timeout_seconds"] = lock_timeout_seconds
        command.downgrade(config, revision)


def require_head(dsn: str) -> None:
    """Raise SchemaError unless the schema has the revision of this version."""
    revision, needed = current(dsn), head()
    _require_known(revision)
    if revision != needed:
        raise SchemaError(
            f"The database schema is at {revision or 'nothing'}, but this version of Sightline "
            f"needs {needed}; run: sightline migrate"
        )


def known_revisions() -> list[str]:
    """Return all revisions, newest first."""
    with _alembic_config() as config:
        return [script.revision for script in ScriptDirectory.from_config(config).walk_revisions()]


def _require_upgrade(before: str | None, revision: str) -> None:
    """Raise SchemaError unless an upgrade leads from one revision to the other."""
    known = known_revisions()  # newest first
    if revision != "head" and revision not in known:
        raise SchemaError(
            f"There is no revision {shown(revision)}. Give head or one of: {choices(known)}."
        )
    if before is not None and revision in known[known.index(before) + 1 :]:
        raise SchemaError(
            f"The database schema is at {before}, after {revision}. Nothing was changed. To go "
            f"back, and lose what it cannot hold: alembic downgrade {revision}"
        )


def _require_known(revision: str | None) -> None:
    if revision is not None and revision not in known_revisions():
        raise SchemaError(
            f"The database schema is at {revision}, which this version of Sightline does not know "
            f"(it needs {head()}); use the newer version that created the schema"
        )
