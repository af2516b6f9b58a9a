"""Runs ``pg_dump`` and ``pg_restore`` of a version that fits the server."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.storage.errors import ConfigurationError, DatabaseUnavailableError, StorageError
from sightline.storage.postgres.programs import installed, major_version, program_environment

_MAX_ERROR_CHARS = 2_000


def server_major_version(dsn: str) -> int:
    """Return the major version of a server. Raises DatabaseUnavailableError."""
    try:
        with psycopg.connect(dsn) as connection:
            return connection.info.server_version // 10_000
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"The database cannot be reached: {error}") from error


def dump(dsn: str, schemas: Sequence[str], file: Path) -> None:
    """Write a consistent dump of the schemas in the custom format of pg_dump.

    Raises StorageError, ConfigurationError.
    """
    options = [f"--schema={schema}" for schema in schemas]
    _run("pg_dump", dsn, "--format=custom", "--no-owner", *options, f"--file={file}")


def restore(dsn: str, file: Path) -> None:
    """Restore a dump in one transaction into a database without its schemas.

    Raises StorageError, ConfigurationError.
    """
    _run("pg_restore", dsn, "--no-owner", "--single-transaction", "--exit-on-error", str(file))


def _run(program: str, dsn: str, *arguments: str) -> None:
    path = _find_program(program, server_major_version(dsn))
    target = conninfo_to_dict(dsn)
    environment = program_environment()
    if password := target.pop("password", None):
        environment["PGPASSWORD"] = str(password)  # command lines are public
    database = make_conninfo(**{name: str(value) for name, value in target.items()})
    result = subprocess.run(
        [path, "--no-password", f"--dbname={database}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
    )
    if result.returncode != 0:
        message = result.stderr.decode("utf-8", "replace").strip()[-_MAX_ERROR_CHARS:]
        raise StorageError(f"{program} failed: {message}")


def _find_program(name: str, major: int) -> str:
    """Return a program at least as new as the server: embedded, or from the PATH."""
    for binaries in installed():
        if binaries.major >= major and Path(binaries.program(name)).exists():
            return binaries.program(name)
    path = shutil.which(name)
    if path is not None and major_version(Path(path)) >= major:
        return path
    raise ConfigurationError(
        f"The database runs on Postgres {major}, but no {name} of that version or newer was found. "
        f"Install the client programs of Postgres {major}."
    )
