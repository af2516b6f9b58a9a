"""A session that never looks for signals does not keep the server running."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Thread

import psycopg
import pytest

from sightline.storage.postgres import EmbeddedPostgres, locks, pidfile
from tests.support.unstoppable_sql import UNSTOPPABLE


def stop(server: EmbeddedPostgres, folder: Path) -> None:
    server.close()


def die(server: EmbeddedPostgres, folder: Path) -> None:
    """Give up the lock as a killed process does, without stopping Postgres: the watchdog does."""
    locks.release(server._users)
    server._users = -1
    with locks.exclusive(folder / "postgres" / "watchdog.lock", os.geteuid()):
        pass


@pytest.mark.parametrize("end", [stop, die])
def test_the_server_stops_and_keeps_its_data(
    tmp_path: Path, end: Callable[[EmbeddedPostgres, Path], None]
) -> None:
    server = EmbeddedPostgres(tmp_path, durable=False, stop_seconds=1)
    stuck = Thread(target=run, args=[server.dsn()])
    with psycopg.connect(server.dsn(), autocommit=True) as connection:
        connection.execute("SET synchronous_commit = on")
        connection.execute("CREATE TABLE kept AS SELECT 1 AS x")
        stuck.start()
        waiting = "SELECT FROM pg_stat_activity WHERE query = %s AND state = 'active'"
        while not connection.execute(waiting, [UNSTOPPABLE]).rowcount:
            assert stuck.is_alive()
    end(server, tmp_path)
    assert pidfile.find(tmp_path / "postgres" / "data") is None
    stuck.join()
    with (
        EmbeddedPostgres(tmp_path, durable=False) as again,
        psycopg.connect(again.dsn()) as connection,
    ):
        assert connection.execute("SELECT x FROM kept").fetchone() == (1,)


def run(dsn: str) -> None:
    with (
        suppress(psycopg.OperationalError),
        psycopg.connect(dsn, autocommit=True) as connection,
    ):
        connection.execute(UNSTOPPABLE.encode())
