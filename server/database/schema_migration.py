"""Brings a database's schema to the version of this code, or says that it is not.

All functions block; an event loop calls them in a thread.
"""

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

from sightline.storage.errors import DatabaseUnavailableError, SchemaError

#: alembic keeps what it works on in globals of the process.
_alone = threading.Lock()


@contextmanager
def _configuration(dsn: str | None = None) -> Iterator[Config]:
    with as_file(files("sightline.migrations")) as folder:
        config = Config()
        config.set_main_option("script_location", str(folder).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["dsn"] = dsn
        yield config


@contextmanager
def _named_errors() -> Iterator[None]:
    try:
        yield
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"the database cannot be reached: {error}") from error
    except (psycopg.Error, SQLAlchemyError, CommandError, RuntimeError) as error:
        raise SchemaError(f"the schema could not be changed: {error}") from error


def head() -> str:
    """The revision that this version of Sightline works with."""
    return _known()[0]


def current(dsn: str) -> str | None:
    """The revision of the database; None where Sightline's tables were never made."""
    with _named_errors(), psycopg.connect(dsn) as connection:
        row = connection.execute(
            "SELECT to_regclass('sightline.schema_version') IS NOT NULL"
        ).fetchone()
        if row is None or not row[0]:
            return None
        row = connection.execute("SELECT version_num FROM sightline.schema_version").fetchone()
    return None if row is None else str(row[0])


def upgrade(dsn: str, revision: str = "head") -> None:
    """Applies what is missing. Safe when several processes or threads do it at once."""
    _require_known(current(dsn))
    with _named_errors(), _configuration(dsn) as config, _alone:
        command.upgrade(config, revision)


def downgrade(dsn: str, revision: str) -> None:
    """Undoes migrations down to ``revision``; ``base`` undoes all and drops every row."""
    _require_known(current(dsn))
    with _named_errors(), _configuration(dsn) as config, _alone:
        command.downgrade(config, revision)


def require_head(dsn: str) -> None:
    """Raises SchemaError, with what to do, unless the schema is the one of this version."""
    found, needed = current(dsn), head()
    _require_known(found)
    if found != needed:
        raise SchemaError(
            f"the database's schema is at {found or 'nothing'} and this version of Sightline "
            f"needs {needed}; run: sightline migrate"
        )


def knows(revision: str) -> bool:
    """Whether this version can work with a schema of that revision, or bring it up to date."""
    return revision in _known()


def _known() -> list[str]:
    """All revisions that this version carries, the newest first."""
    with _configuration() as config:
        return [each.revision for each in ScriptDirectory.from_config(config).walk_revisions()]


def _require_known(revision: str | None) -> None:
    if revision is not None and revision not in _known():
        raise SchemaError(
            f"the database's schema is at {revision}, and this version of Sightline needs "
            f"{head()} and does not know that one; use the newer version that made it"
        )
