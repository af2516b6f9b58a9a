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
from pathlib import Path
from types import TracebackType
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from sightline.storage.errors import ConfigurationError, StorageError
from sightline.storage.postgres import configuration, locks, pidfile, postmaster
from sightline.storage.postgres.account import account_for
from sightline.storage.postgres.binaries import for_cluster
from sightline.storage.postgres.programs import SIGN_OF_LIFE_SECONDS, Programs
from sightline.storage.postgres.sockets import remove_linked_folder, socket_folder

_log = logging.getLogger(__name__)

DATABASE = "sightline"
_SUPERUSER = "sightline"


class EmbeddedPostgres:
    """A running server of one data folder; a use of it that ``close`` ends.

    All methods block: an event loop calls them in a thread.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, stop_seconds: float = 60.0) -> None:
        """Starts the server of ``data_dir`` or joins the one that runs.

        ``stop_seconds`` is how long `close` waits for the server's end. Raises ConfigurationError
        where the folder cannot be used, StorageError where Postgres does not start, with the end
        of its log. ``durable=False`` is for tests.
        """
        self._control = data_dir.absolute() / "postgres"
        self._data = self._control / "data"
        self._durable = durable
        self._stop_seconds = stop_seconds
        self._users = -1
        try:
            self._control.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._account = account_for(self._control)
            self._users = self._join()
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

    def dsn(self, database: str = DATABASE) -> str:
        """The connection string of a database on this server."""
        running = pidfile.read(self._data)
        if running is None or not running.socket_folder:
            raise StorageError(f"the Postgres of {self._control.parent} is not running")
        return _dsn(running, database)

    def ensure_running(self) -> None:
        """Starts the server where it does not run, also after it died under us."""
        if self._users < 0:
            raise StorageError(f"the Postgres of {self._control.parent} was closed")
        with locks.exclusive(self._control / "start.lock", self._owner):
            programs = self._programs()
            if not (self._data / "PG_VERSION").exists():
                self._initialise(programs)
            # Before the server: whoever is killed while it starts leaves none behind.
            self._ensure_watchdog(programs)
            # Waits for one that is starting or stopping just now.
            if not postmaster.wait_until_settled(
                self._data, lambda running: _dsn(running, "postgres"), SIGN_OF_LIFE_SECONDS
            ):
                self._start(programs)
            self._create_database()

    def close(self) -> None:
        """Ends this use; the last user stops the server. Does nothing the second time.

        Waits for the server's end for ``stop_seconds`` at most; it then goes on ending by itself.
        """
        if self._users < 0:
            return
        try:
            if locks.try_exclusive(self._users):
                if pidfile.find(self._data) is not None:
                    self._programs().stop(self._stop_seconds)
                if pidfile.find(self._data) is None:
                    remove_linked_folder(self._control)
                else:
                    self._tell_of_stopping(self._stop_seconds)
            # Either others use it, or the watchdog was quicker and stops it: then wait.
            elif not locks.wait_shared(
                self._users, seconds=self._stop_seconds, tell=self._tell_of_stopping
            ):
                self._tell_of_stopping(self._stop_seconds)
        finally:
            locks.release(self._users)
            self._users = -1

    def _join(self) -> int:
        """The lock that says that we use the server; waits while somebody stops it."""
        users = locks.open_lock(self._users_lock, self._owner)
        try:
            locks.wait_shared(users, tell=self._tell_of_stopping)
        except BaseException:
            os.close(users)
            raise
        return users

    def _tell_of_stopping(self, seconds: float) -> None:
        _log.warning(
            "the Postgres of %s is still being stopped, for %.0f s so far",
            self._control.parent,
            seconds,
        )

    @property
    def _owner(self) -> int:
        return self._control.stat().st_uid

    @property
    def _users_lock(self) -> Path:
        return self._control / "users.lock"

    def _programs(self) -> Programs:
        return Programs(for_cluster(self._data), self._account, self._control)

    def _initialise(self, programs: Programs) -> None:
        """Makes the cluster under another name first, so that half of one is never taken for it."""
        _log.info("making a database in %s", self._control.parent)
        unfinished = self._control / "data.unfinished"
        if unfinished.exists():
            shutil.rmtree(unfinished)
        self._account.own(self._control / "log")
        self._account.own(unfinished)
        programs.initialise(unfinished.name, _SUPERUSER, durable=self._durable)
        with (unfinished / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude = '../server.conf'\n")
        unfinished.rename(self._data)

    def _start(self, programs: Programs) -> None:
        self._account.own(self._control / "log")
        sockets = socket_folder(self._control, self._account)
        # Left behind by a kill, and taken for a living server's where the number is in use.
        for stale in sockets.glob(".s.PGSQL.*"):
            stale.unlink()
        postmaster.end_orphans(self._data)
        settings = self._control / "server.conf"
        settings.write_text(configuration.render(sockets, durable=self._durable), encoding="utf-8")
        self._account.give(settings)
        programs.start()

    def _create_database(self) -> None:
        with psycopg.connect(self.dsn("postgres"), autocommit=True) as connection:
            found = connection.execute(
                "SELECT 1 FROM pg_database WHERE datname = %s", [DATABASE]
            ).fetchone()
            if found is None:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))

    def _ensure_watchdog(self, programs: Programs) -> None:
        lock = locks.open_lock(self._control / "watchdog.lock", self._owner)
        try:
            if locks.try_exclusive(lock):  # or else one is on duty
                programs.start_watchdog(self._users_lock, lock, self._stop_seconds)
        finally:
            os.close(lock)  # the watchdog holds it on through its own copy


def _dsn(running: pidfile.Postmaster, database: str) -> str:
    return make_conninfo(
        host=running.socket_folder, port=configuration.PORT, user=_SUPERUSER, dbname=database
    )
