"""Starts, shares and stops the embedded Postgres of a data folder.

Any number of processes may use one data folder. Each holds a shared lock on ``users.lock`` for
as long as it uses the server; the one that comes first starts the server and a watchdog, and the
last one to close stops the server. Where the last one is killed, the watchdog, which waits for
that lock, stops it instead. Nobody counts, so nothing can be miscounted.

Layout of ``<data folder>/postgres`` (mode 0700)::

    data/         the cluster; owned by the account that Postgres runs as
    run           the socket's folder, or a link to one with a shorter path
    log/          the server's log
    server.conf   our configuration, written anew at every start
    *.lock        start.lock, users.lock, watchdog.lock
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sightline.storage.errors import ConfigurationError, StorageError
from sightline.storage.postgres import configuration, locks, postmaster
from sightline.storage.postgres.account import account_for
from sightline.storage.postgres.binaries import Binaries, for_cluster
from sightline.storage.postgres.configuration import PORT
from sightline.storage.postgres.sockets import remove_linked_folder, socket_folder

_log = logging.getLogger(__name__)

DATABASE = "sightline"
_SUPERUSER = "sightline"
# Recovery after a crash takes as long as it takes: there is no deadline, only a sign of life.
_SIGN_OF_LIFE_SECONDS = 10.0
_NO_DEADLINE_SECONDS = "86400"
_LOG_KEPT_BYTES = 10 * 1024 * 1024
_LOG_SHOWN_LINES = 12


class EmbeddedPostgres:
    """A running server of one data folder; a use of it that ``close`` ends.

    All methods block: an event loop calls them in a thread.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True) -> None:
        """Starts the server of ``data_dir`` or joins the one that runs.

        Raises ConfigurationError where the folder cannot be used, StorageError where Postgres
        does not start, with the end of its log.
        """
        self._control = data_dir.absolute() / "postgres"
        self._data = self._control / "data"
        self._durable = durable
        self._users = -1
        try:
            self._control.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._account = account_for(self._control)
            self._users = locks.open_lock(self._control / "users.lock", self._owner)
            # Waits while somebody stops the server.
            locks.wait_shared(self._users)
            self.ensure_running()
        except OSError as error:
            self.close()
            raise ConfigurationError(
                f"the data folder {str(data_dir)!r} cannot be used: {error.strerror} "
                f"({error.filename}); choose another with SIGHTLINE_DATA_DIR"
            ) from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def _owner(self) -> int:
        return self._control.stat().st_uid

    def dsn(self, database: str = DATABASE) -> str:
        """The connection string of a database on this server."""
        running = postmaster.read(self._data)
        if running is None or not running.socket_folder:
            raise StorageError(f"the Postgres of {self._control.parent} is not running")
        return make_conninfo(
            host=running.socket_folder, port=PORT, user=_SUPERUSER, dbname=database
        )

    def ensure_running(self) -> None:
        """Starts the server where it does not run, also after it died under us."""
        with locks.exclusive(self._control / "start.lock", self._owner):
            binaries = for_cluster(self._data)
            if not (self._data / "PG_VERSION").exists():
                self._initialise(binaries)
            if not self._join():
                self._start(binaries)
            self._create_database()
            self._ensure_watchdog(binaries)

    def close(self) -> None:
        """Ends this use; the last user stops the server. Does nothing the second time."""
        if self._users < 0:
            return
        try:
            if locks.try_exclusive(self._users):
                self._stop()
                remove_linked_folder(self._control)
            else:
                # Either others use it, or the watchdog was quicker and stops it: then wait.
                locks.wait_shared(self._users)
        finally:
            os.close(self._users)
            self._users = -1

    def _run(self, *arguments: str, doing: str) -> None:
        """Runs one of Postgres' programs to its end and says now and then that it still runs.

        It works in our folder and gets relative paths: ``pg_ctl`` hands them to a shell.
        """
        command = self._account.command(self._control / "log", *arguments)
        # A pipe would stay open in the server and never end, so the output goes to a file.
        with tempfile.TemporaryFile() as output:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self._control,
                env=_environment(),
            )
            started = time.monotonic()
            while True:
                try:
                    status = process.wait(timeout=_SIGN_OF_LIFE_SECONDS)
                    break
                except subprocess.TimeoutExpired:
                    _log.warning(
                        "%s, for %.0f s so far (%s)",
                        doing,
                        time.monotonic() - started,
                        self._log_path,
                    )
                except BaseException:
                    process.terminate()
                    process.wait()
                    raise
            output.seek(0)
            said = output.read().decode(errors="replace").strip()
        if status != 0:
            raise StorageError(f"{doing} failed: {said}\n{self._log_tail()}".strip())

    def _initialise(self, binaries: Binaries) -> None:
        """Makes the cluster under another name first, so that half of one is never taken for it."""
        _log.info("making a database in %s", self._control.parent)
        unfinished = self._control / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        self._account.own(self._control / "log")
        self._account.own(unfinished)
        self._run(
            binaries.program("initdb"),
            "--pgdata=data.unfinished",
            f"--username={_SUPERUSER}",
            # The socket's folder admits the owner alone.
            "--auth=trust",
            "--encoding=UTF8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--text-search-config=simple",
            "--no-instructions",
            *([] if self._durable else ["--no-sync"]),
            doing="making the database",
        )
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude = '../server.conf'\n")
        unfinished.rename(self._data)

    def _join(self) -> bool:
        """Whether a server runs and answers; waits for one that starts or stops just now."""
        return postmaster.wait_until_settled(
            self._data, lambda: self.dsn("postgres"), _SIGN_OF_LIFE_SECONDS
        )

    def _start(self, binaries: Binaries) -> None:
        self._account.own(self._control / "log")
        if self._log_path.exists() and self._log_path.stat().st_size > _LOG_KEPT_BYTES:
            self._log_path.replace(self._log_path.with_suffix(".old"))
        sockets = socket_folder(self._control, self._account)
        # Left behind by a kill, and taken for a living server's where the number is in use.
        for stale in sockets.glob(".s.PGSQL.*"):
            stale.unlink()
        postmaster.end_orphans(self._data)
        text = configuration.render(sockets, durable=self._durable)
        (self._control / "server.conf").write_text(text, encoding="utf-8")
        self._run(
            binaries.program("pg_ctl"),
            "start",
            "--pgdata=data",
            "--log=log/postgres.log",
            "--wait",
            f"--timeout={_NO_DEADLINE_SECONDS}",
            doing="starting Postgres",
        )

    def _stop_command(self, binaries: Binaries) -> list[str]:
        return self._account.command(
            self._control / "log",
            binaries.program("pg_ctl"),
            "stop",
            f"--pgdata={self._data}",
            "--mode=fast",
            "--wait",
            f"--timeout={_NO_DEADLINE_SECONDS}",
        )

    def _stop(self) -> None:
        if postmaster.find(self._data) is None:
            return
        subprocess.run(
            self._stop_command(for_cluster(self._data)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            cwd="/",
            env=_environment(),
        )

    def _create_database(self) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _ensure_watchdog(self, binaries: Binaries) -> None:
        lock = locks.open_lock(self._control / "watchdog.lock", self._owner)
        try:
            if not locks.try_exclusive(lock):
                return  # one is on duty
            script = Path(__file__).with_name("watchdog.py")
            subprocess.run(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(script),
                    str(self._control / "users.lock"),
                    str(lock),
                    *self._stop_command(binaries),
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                pass_fds=[lock],
                check=True,
                cwd="/",
                env=_environment(),
            )
        finally:
            os.close(lock)  # the watchdog holds it on through its own copy

    @property
    def _log_path(self) -> Path:
        return self._control / "log" / "postgres.log"

    def _log_tail(self) -> str:
        try:
            lines = self._log_path.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return ""
        return "\n".join(lines[-_LOG_SHOWN_LINES:])


def _environment() -> dict[str, str]:
    """Ours without what would steer Postgres' programs (PGPORT, PGDATA, PGOPTIONS...)."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PG")}
