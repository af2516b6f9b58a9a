"""Logins for analysts."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.storage.analytics import analyst_roles
from sightline.storage.analytics.analyst_roles import grant_analyst
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, NotAllowedError


def drop(dsn: str, name: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(f"DROP OWNED BY {name}".encode())
        connection.execute(f"DROP ROLE {name}".encode())


async def test_an_analyst_can_only_read_the_schema(filled: Database) -> None:
    dsn = await grant_analyst(filled.dsn, "alice")
    try:
        with psycopg.connect(dsn, autocommit=True) as connection:
            assert connection.execute("SELECT count(*) FROM assets").fetchone() == (50,)
            assert connection.execute("SHOW statement_timeout").fetchone() == ("1min",)
            near = "SELECT count(*) FROM nearest('album0000000', 3)"
            assert connection.execute(near.encode()).fetchone() == (3,)
            with pytest.raises(errors.ReadOnlySqlTransaction):
                connection.execute("CREATE TEMP TABLE x (y int)")
            connection.execute("SET default_transaction_read_only = off")
            for text in ("TABLE sightline.asset", "DELETE FROM searches", "SET ROLE sightline"):
                with pytest.raises(errors.InsufficientPrivilege):
                    connection.execute(text.encode())
        runner = SqlRunner(dsn, timeout_seconds=60, max_rows=5, max_bytes=1_000)
        assert (await runner.run("SELECT count(*) FROM assets", rows=1)).rows == [[50]]
        again = await grant_analyst(filled.dsn, "alice")
        assert conninfo_to_dict(again)["password"] != conninfo_to_dict(dsn)["password"]
    finally:
        drop(filled.dsn, "alice")


async def test_a_limit_that_needs_a_superuser_is_reported(
    filled: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE administrator LOGIN CREATEROLE")
        dsn = make_conninfo(filled.dsn, user="administrator")
        try:
            async with await AsyncConnection.connect(dsn) as administrator:
                await administrator.execute("CREATE ROLE erin LOGIN")
                await analyst_roles._set_role_settings(administrator, "erin")
            (record,) = caplog.records
            assert "temporary files and log messages of erin are not limited" in record.getMessage()
            assert """ALTER ROLE "erin" IN DATABASE""" in record.getMessage()
            with psycopg.connect(make_conninfo(filled.dsn, user="erin")) as erin:
                assert erin.execute("SHOW work_mem").fetchone() == ("16MB",)
                assert erin.execute("SHOW temp_file_limit").fetchone() == ("-1",)
            # The statement of the message.
            connection.execute(record.getMessage().partition("run: ")[2].encode())
            with psycopg.connect(make_conninfo(filled.dsn, user="erin")) as erin:
                assert erin.execute("SHOW temp_file_limit").fetchone() == ("512MB",)
                assert erin.execute("SHOW log_min_messages").fetchone() == ("fatal",)
        finally:
            connection.execute("DROP ROLE IF EXISTS erin")
            connection.execute("DROP ROLE administrator")


async def test_a_role_that_is_not_an_analyst_is_not_changed(filled: Database) -> None:
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE boss LOGIN")
    try:
        for name in ("boss", "sightline"):
            with pytest.raises(NotAllowedError, match="is not an analyst"):
                await grant_analyst(filled.dsn, name)
    finally:
        drop(filled.dsn, "boss")


@pytest.mark.parametrize("name", ["", "Alice", "a-b", "pg_alice", "x; DROP", "sightline_analyst"])
async def test_an_invalid_role_name_is_refused(database_dsn: str, name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="is not a valid role name"):
        await grant_analyst(database_dsn, name)


async def test_missing_rights_to_create_roles_are_explained(filled: Database) -> None:
    dsn = await grant_analyst(filled.dsn, "carol")
    try:
        with pytest.raises(NotAllowedError, match="as a database administrator"):
            await grant_analyst(dsn, "dave")
    finally:
        drop(filled.dsn, "carol")
