"""Runs ``pg_dump`` and ``pg_restore`` of a version that fits the server."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

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


@contextmanager
def restore_script(dsn: str, file: Path) -> Iterator[IO[bytes]]:
    """Run pg_restore in the block, and yield the SQL script that it writes for a dump.

    Raises ConfigurationError, and StorageError after the block if the script is incomplete.
    """
    path = _find_program("pg_restore", server_major_version(dsn))
    with (
        tempfile.TemporaryFile() as messages,
        subprocess.Popen(
            [path, "--no-owner", "--file=-", str(file)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            env=program_environment(),
        ) as program,
    ):
        try:
            yield cast(IO[bytes], program.stdout)
            if program.wait() != 0:
                messages.seek(0)
                raise StorageError(f"pg_restore failed: {_beginning(messages.read())}")
        finally:
            program.kill()


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
        raise StorageError(f"{program} failed: {_beginning(result.stderr)}")


def _beginning(messages: bytes) -> str:
    """Return the beginning, which has the reason; statements follow."""
    text = messages.decode("utf-8", "replace").strip()
    return text if len(text) <= _MAX_ERROR_CHARS else f"{text[:_MAX_ERROR_CHARS]}…"


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
