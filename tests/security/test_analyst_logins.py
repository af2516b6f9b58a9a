"""A login of an analyst can fill neither the disk nor the cores."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors

from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.postgres import EmbeddedPostgres

MIB = 2**20


@pytest.fixture
def analyst(database_dsn: str) -> Iterator[str]:
    yield asyncio.run(grant_analyst(database_dsn, "disk_user"))
    asyncio.run(revoke_analyst(database_dsn, "disk_user"))


def test_notifications_are_limited(analyst: str) -> None:
    """They stay on disk until each session that listens has read them."""
    with (
        psycopg.connect(analyst, autocommit=True) as listening,
        psycopg.connect(analyst, autocommit=True) as writing,
    ):
        listening.execute("LISTEN x")
        listening.execute("BEGIN")
        listening.execute("SELECT 1")
        many = (
            "DO $$ BEGIN FOR i IN 1..1000 LOOP EXECUTE "
            "format('NOTIFY x, %L', repeat('a', 7900) || i); END LOOP; END $$"
        )
        with pytest.raises(errors.ProgramLimitExceeded, match="NOTIFY queue"):
            writing.execute(many)


def test_a_login_has_three_sessions(analyst: str) -> None:
    with (
        psycopg.connect(analyst),
        psycopg.connect(analyst),
        psycopg.connect(analyst),
        pytest.raises(psycopg.OperationalError, match="too many connections for role"),
    ):
        psycopg.connect(analyst)


#: Each writes its text to the log of a server with default settings.
LOGGED = [
    "DO $$ BEGIN FOR i IN 1..30 LOOP RAISE LOG '%', repeat('x', 100000); END LOOP; END $$",
    "DO $$ BEGIN FOR i IN 1..30 LOOP RAISE WARNING '%', repeat('x', 100000); END LOOP; END $$",
    "DO $$ BEGIN RAISE EXCEPTION '%', repeat('x', 3000000); END $$",
    f"SELECT '{'x' * 3_000_000}'::int",
    f"SET debug_print_parse = on; SELECT '{'x' * 3_000_000}'",
    f"SET log_min_messages = log; DO $$ BEGIN RAISE LOG '{'x' * 3_000_000}'; END $$",
]


def test_messages_do_not_reach_the_log(analyst: str, postgres_server: EmbeddedPostgres) -> None:
    log = Path(postgres_server._control) / "log" / "postgres.log"
    before = log.stat().st_size
    for text in LOGGED:
        with psycopg.connect(analyst, autocommit=True) as connection:
            try:
                connection.execute(text.encode())
            except psycopg.Error:
                assert not connection.closed
    assert log.stat().st_size - before < MIB
