"""Starts, shares and stops the embedded Postgres of a data folder.

Any number of processes can use one data folder. Each user holds a shared lock on ``users.lock``.
The first user starts the server and a watchdog; the last one stops the server. If the last user is
killed, the watchdog gets the lock and stops the server instead.

Layout of ``<data folder>/postgres`` (mode 0700)::

    data/         the cluster; owned by the account that runs Postgres
    run           the socket's folder, or a link to one with a shorter path
    log/          the server's log
    server.conf   configuration, overwritten at every start
    *.lock        start.lock, users.lock, watchdog.lock
"""

from __future__ import annotations

import logging
import os
import shutil
import time
from pathlib import Path
from typing import Self

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo
from psycopg.rows import TupleRow

from sightline.storage.errors import ConfigurationError, StorageError
from sightline.storage.files import write_private
from sightline.storage.postgres import configuration, locks, pidfile, privileges
from sightline.storage.postgres.account import account_for
from sightline.storage.postgres.programs import REPORT_SECONDS, Programs, for_cluster

logger = logging.getLogger(__name__)

DATABASE = "sightline"
_SUPERUSER = "sightline"
_POLL_SECONDS = 0.1
_SAFE_PATH = "-c search_path=pg_catalog,pg_temp"


class EmbeddedPostgres:
    """One use of the server of a data folder, until ``close``.

    All methods block: call them in a thread from an event loop.
    """

    def __init__(self, data_dir: Path, *, durable: bool = True, stop_seconds: float = 60.0) -> None:
        """Start the server of ``data_dir``, or join the running one.

        ``stop_seconds``: see ``close``. ``durable=False`` is for tests. Raises ConfigurationError
        for an unusable folder, StorageError with the end of the log if Postgres does not start.
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
        except BaseException as error:
            self.close()
            if isinstance(error, OSError):
                raise ConfigurationError(
                    f"The data folder {str(data_dir)!r} cannot be used: {error.strerror} "
                    f"({error.filename}). Choose another with SIGHTLINE_DATA_DIR."
                ) from error
            raise

    @staticmethod
    def exists(data_dir: Path) -> bool:
        """Return whether a data folder has a server, running or not."""
        return (data_dir / "postgres" / "data" / "PG_VERSION").exists()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def dsn(self, database: str = DATABASE) -> str:
        """Return the connection string of a database on this server."""
        running = pidfile.read(self._data)
        if running is None or not running.socket_folder:
            raise StorageError(f"The Postgres of {self._control.parent} is not running.")
        return _dsn(running, database)

    def ensure_running(self) -> None:
        """Start the server if it does not run, also after a crash."""
        if self._users < 0:
            raise StorageError(f"The Postgres of {self._control.parent} was closed.")
        with locks.exclusive(self._control / "start.lock", self._owner):
            programs = self._programs()
            if not (self._data / "PG_VERSION").exists():
                self._initialize(programs)
            # Before the server, so that a kill during the start leaves no server behind.
            self._ensure_watchdog(programs)
            if not self._wait_until_settled():
                self._start(programs)
            self._create_database()

    def close(self) -> None:
        """End this use; the last user stops the server. Idempotent.

        The server is stopped at once, without an orderly end, if it still runs after
        ``stop_seconds``. Waits at most twice that time.
        """
        if self._users < 0:
            return
        try:
            if locks.try_exclusive(self._users):
                if pidfile.find(self._data) is not None:
                    self._programs().stop(self._stop_seconds)
                stopped = pidfile.find(self._data) is None
                if stopped:
                    configuration.remove_linked_folder(self._control)
            else:  # others use it, or the watchdog is stopping it
                stopped = locks.wait_shared(
                    self._users, seconds=self._stop_seconds, report=self._report_stopping
                )
            if not stopped:
                self._report_stopping(self._stop_seconds)
        finally:
            locks.release(self._users)
            self._users = -1

    def _join(self) -> int:
        """Take the shared lock of the users; wait while the server is being stopped."""
        users = locks.open_lock(self._control / "users.lock", self._owner)
        try:
            locks.wait_shared(users, report=self._report_stopping)
        except BaseException:
            os.close(users)
            raise
        return users

    def _report_stopping(self, seconds: float) -> None:
        folder = self._control.parent
        logger.warning("the Postgres of %s has been stopping for %.0f s", folder, seconds)

    @property
    def _owner(self) -> int:
        return self._control.stat().st_uid

    def _programs(self) -> Programs:
        return Programs(for_cluster(self._data), self._account, self._control)

    def _initialize(self, programs: Programs) -> None:
        """Create the cluster under a temporary name, so that it is always complete."""
        logger.info("creating a database in %s", self._control.parent)
        partial = self._control / "data.partial"
        if partial.exists():
            shutil.rmtree(partial)
        self._account.create_folder(self._control / "log")
        self._account.create_folder(partial)
        programs.initialize(partial.name, _SUPERUSER, durable=self._durable)
        with (partial / "postgresql.conf").open("a", encoding="utf-8") as file:
            file.write("\ninclude = '../server.conf'\n")
        partial.rename(self._data)

    def _start(self, programs: Programs) -> None:
        self._account.create_folder(self._control / "log")
        sockets = configuration.socket_folder(self._control, self._account)
        # A killed server leaves sockets; with a reused process id they would look alive.
        for stale in sockets.glob(".s.PGSQL.*"):
            stale.unlink()
        pidfile.kill_orphans(self._data)
        settings = self._control / "server.conf"
        major = programs.binaries.major
        data_bytes = configuration.stored_bytes(self._data)
        text = configuration.render(sockets, major, data_bytes, durable=self._durable)
        write_private(settings, text)
        self._account.take_ownership(settings)
        programs.start()

    def _wait_until_settled(self) -> bool:
        """Return True when the server accepts connections, False when no server runs.

        Waits without a deadline for a server that starts, recovers or stops. Removes a stale pid
        file, because Postgres would take any process with that id for its server. Raises
        StorageError if the socket was removed.
        """
        waited = 0.0
        while (found := pidfile.find(self._data)) is not None:
            if found.ready and not found.has_socket:
                raise StorageError(
                    f"Postgres runs as process {found.pid}, but its socket was removed from "
                    f"{found.socket_folder}. Stop it with: kill -INT {found.pid}"
                )
            reason = "it does not listen yet"
            if found.socket_folder:
                try:
                    psycopg.connect(_dsn(found, "postgres"), connect_timeout=5).close()
                except psycopg.OperationalError as error:
                    reason = str(error)
                else:
                    return True
            time.sleep(_POLL_SECONDS)
            waited += _POLL_SECONDS
            if waited % REPORT_SECONDS < _POLL_SECONDS:
                logger.warning("waiting for Postgres for %.0f s: %s", waited, reason)
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        return False

    def _create_database(self) -> None:
        with self._connect("postgres") as connection:
            query = "SELECT FROM pg_database WHERE datname = %s"
            if connection.execute(query, [DATABASE]).rowcount == 0:
                # Databases are copies of it.
                with self._connect("template1") as template:
                    privileges.restrict_public(template)
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DATABASE)))
        with self._connect(DATABASE) as connection:
            privileges.restrict_public(connection)

    def _connect(self, database: str) -> psycopg.Connection[TupleRow]:
        """Connect as the superuser, who finds by name only the system catalog."""
        return psycopg.connect(self.dsn(database), autocommit=True, options=_SAFE_PATH)

    def _ensure_watchdog(self, programs: Programs) -> None:
        lock = locks.open_lock(self._control / "watchdog.lock", self._owner)
        try:
            if locks.try_exclusive(lock):  # else one is running
                users_lock = self._control / "users.lock"
                programs.start_watchdog(users_lock, lock, self._stop_seconds)
        finally:
            os.close(lock)  # the watchdog keeps the lock through its copy


def _dsn(running: pidfile.Postmaster, database: str) -> str:
    return make_conninfo(
        host=running.socket_folder, port=configuration.PORT, user=_SUPERUSER, dbname=database
    )
