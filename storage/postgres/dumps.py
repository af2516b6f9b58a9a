"""Runs ``pg_dump`` and ``pg_restore`` on any Postgres, with the programs that fit it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.storage.errors import ConfigurationError, DatabaseUnavailableError, StorageError
from sightline.storage.postgres.binaries import installed

_SHOWN_CHARS = 2_000
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)")


def server_major(dsn: str) -> int:
    """The major version of a server. Raises DatabaseUnavailableError."""
    try:
        with psycopg.connect(dsn) as connection:
            return connection.info.server_version // 10_000
    except psycopg.OperationalError as error:
        raise DatabaseUnavailableError(f"the database cannot be reached: {error}") from error


def dump(dsn: str, schemas: Sequence[str], file: Path) -> None:
    """Write the schemas of a database to ``file``, compressed, in Postgres' own format.

    It is what the database held at one moment. Raises StorageError, ConfigurationError.
    """
    chosen = [f"--schema={schema}" for schema in schemas]
    _run("pg_dump", dsn, "--format=custom", "--no-owner", *chosen, f"--file={file}")


def load(dsn: str, file: Path) -> None:
    """Bring what `dump` wrote into a database that has none of its schemas: all or nothing.

    Raises StorageError, ConfigurationError.
    """
    _run("pg_restore", dsn, "--no-owner", "--single-transaction", "--exit-on-error", str(file))


def _run(program: str, dsn: str, *arguments: str) -> None:
    target = conninfo_to_dict(dsn)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
    if password := target.pop("password", None):
        environment["PGPASSWORD"] = str(password)  # anybody may read a command line
    database = make_conninfo(**{name: str(value) for name, value in target.items()})
    done = subprocess.run(
        [_program(program, server_major(dsn)), "--no-password", f"--dbname={database}", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=environment,
        check=False,
    )
    if done.returncode != 0:
        said = done.stderr.decode("utf-8", "replace").strip()[-_SHOWN_CHARS:]
        raise StorageError(f"{program} failed: {said}")


def _program(name: str, major: int) -> str:
    """One that is at least as new as the server: ours, or one on the path."""
    for binaries in installed():
        if binaries.major >= major and Path(binaries.program(name)).exists():
            return binaries.program(name)
    found = shutil.which(name)
    if found is not None:
        said = subprocess.run([found, "--version"], capture_output=True, check=False).stdout
        match = _VERSION.search(said.decode("utf-8", "replace"))
        if match is not None and int(match.group(1)) >= major:
            return found
    raise ConfigurationError(
        f"the database runs on Postgres {major}, and there is no {name} of that version or a newer "
        f"one; install the client programs of Postgres {major}"
    )
