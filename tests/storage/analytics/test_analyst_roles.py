"""Logins for analysts."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import AsyncConnection, errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import create_engine, text

from sightline.storage.analytics import analyst_roles
from sightline.storage.analytics.analyst_roles import grant_analyst
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.connect import connection_url
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, NotAllowedError


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


async def test_the_address_is_a_url(filled: Database) -> None:
    url = await grant_analyst(filled.dsn, "fay")
    try:
        assert url.startswith("postgresql://fay:")
        engine = create_engine(url.replace("postgresql:", "postgresql+psycopg:"))
        with engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM assets")).scalar() == 50
        engine.dispose()
    finally:
        drop(filled.dsn, "fay")


def test_a_url_keeps_every_value() -> None:
    for dsn in (
        "host=db.example.com port=5433 dbname=sight/line user=a password='p @:/%'",
        "host=::1 dbname=x user=u",
        "host=/var/run/my\\ sockets port=1 dbname=x user=u sslmode=require",
        "host=a,b port=1,2 dbname=x user=u options='-c search_path=a,\\ b'",
    ):
        assert conninfo_to_dict(connection_url(dsn)) == conninfo_to_dict(dsn)
    changed = conninfo_to_dict(connection_url("host=h dbname=d user=x", user="y", password="z"))
    assert changed == {"host": "h", "dbname": "d", "user": "y", "password": "z"}


async def test_an_analyst_writes_to_a_schema_of_its_own_only(filled: Database) -> None:
    url = await grant_analyst(filled.dsn, "gus", collections=["album"], schema="lab")
    try:
        with psycopg.connect(url, autocommit=True) as gus:
            gus.execute(
                "CREATE MATERIALIZED VIEW lab.pictures AS "
                "SELECT asset_id, collection, embedding::halfvec(8) FROM embeddings"
            )
            gus.execute("CREATE INDEX ON lab.pictures USING hnsw (embedding halfvec_cosine_ops)")
            gus.execute("REFRESH MATERIALIZED VIEW lab.pictures")
            gus.execute("CREATE TABLE lab.labels (asset_id text PRIMARY KEY, label text)")
            seen = "SELECT collection, count(*) FROM pictures GROUP BY 1"
            assert gus.execute(seen).fetchall() == [("album", 29)]
            assert gus.execute("SHOW statement_timeout").fetchone() == ("1min",)
            for statement in (
                "CREATE TABLE analytics.x (n int)",
                "CREATE TABLE public.x (n int)",
                "CREATE SCHEMA other",
                "DELETE FROM analytics.searches",
                "TABLE sightline.asset",
                "GRANT USAGE ON SCHEMA lab TO PUBLIC",
            ):
                # Postgres only warns of a grant without the right to grant.
                if statement.startswith("GRANT"):
                    gus.execute(statement)
                    continue
                with pytest.raises(errors.InsufficientPrivilege):
                    gus.execute(statement.encode())
        # A new password keeps the schema; others cannot get it.
        again = await grant_analyst(filled.dsn, "gus")
        with psycopg.connect(again, autocommit=True) as gus:
            gus.execute("INSERT INTO lab.labels VALUES ('a', 'b')")
        for name, schema, words in (
            ("gus", "bench", "has the schema 'lab' already"),
            ("hal", "lab", "The schema 'lab' exists already"),
            ("hal", "analytics", "exists already"),
            ("hal", "pg_lab", "is not a valid schema name"),
            # First on the search path of that role.
            ("hal", "gus", "'gus' is the name of another role"),
        ):
            with pytest.raises(InvalidArgumentError, match=words):
                await grant_analyst(filled.dsn, name, schema=schema)
        with psycopg.connect(filled.dsn) as connection:
            row = connection.execute("SELECT to_regrole('hal'), to_regnamespace('bench')")
            assert row.fetchone() == (None, None)
            granted = connection.execute(
                "SELECT nspacl::text FROM pg_namespace WHERE nspname = 'lab'"
            )
            assert granted.fetchone() == ("{sightline=UC/sightline,gus=UC/sightline}",)
        # It could create functions that query_sql would call.
        runner = SqlRunner(again, timeout_seconds=60, max_rows=5, max_bytes=1_000)
        with pytest.raises(ConfigurationError, match="can create objects in a schema of its own"):
            await runner.run("SELECT 1", rows=1)
    finally:
        drop(filled.dsn, "gus")
        with psycopg.connect(filled.dsn, autocommit=True) as connection:
            connection.execute("DELETE FROM sightline.principal")


async def test_a_revoked_analyst_leaves_no_schema_unless_it_has_objects(filled: Database) -> None:
    def schemas() -> list[str]:
        with psycopg.connect(filled.dsn) as connection:
            found = connection.execute("SELECT nspname FROM pg_namespace WHERE nspname ~ '^lab_'")
            return sorted(row[0] for row in found)

    await grant_analyst(filled.dsn, "ivy", schema="lab_ivy")
    url = await grant_analyst(filled.dsn, "jan", schema="lab_jan")
    assert schemas() == ["lab_ivy", "lab_jan"]
    await analyst_roles.revoke_analyst(filled.dsn, "ivy")
    assert schemas() == ["lab_jan"]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE lab_jan.labels (label text)")
    with pytest.raises(NotAllowedError, match=r"jan owns 'table lab_jan\.labels'") as refusal:
        await analyst_roles.revoke_analyst(filled.dsn, "jan")
    # Code of the analyst must not get the rights of an administrator.
    assert "not to an administrator" in str(refusal.value)
    assert 'REASSIGN OWNED BY "jan" TO other_analyst' in str(refusal.value)
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        connection.execute("CREATE TABLE lab_jan.of_others (label text)")
    await analyst_roles.revoke_analyst(filled.dsn, "jan", drop_owned=True)
    assert schemas() == ["lab_jan"]
    with psycopg.connect(filled.dsn) as connection:
        found = connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'lab_jan'::regnamespace"
        ).fetchall()
    assert found == [("of_others",)]


async def test_a_schema_of_others_is_not_taken_for_that_of_an_analyst(filled: Database) -> None:
    with psycopg.connect(filled.dsn, autocommit=True) as connection:
        for statement in (
            # Somebody lets the analyst in, and comments on it as grant-analyst does.
            "CREATE ROLE mallory",
            "CREATE SCHEMA a_trap AUTHORIZATION mallory",
            f"COMMENT ON SCHEMA a_trap IS '{analyst_roles._SCHEMA_COMMENT}'",
            "CREATE SCHEMA b_shared",
        ):
            connection.execute(statement.encode())
        try:
            await grant_analyst(filled.dsn, "kim")
            connection.execute("GRANT USAGE, CREATE ON SCHEMA a_trap, b_shared TO kim")
            url = await grant_analyst(filled.dsn, "kim")
            with psycopg.connect(url) as kim:
                path = kim.execute("SHOW search_path").fetchone()
                assert path is not None
                assert "a_trap" not in path[0]
                assert kim.execute("SHOW default_transaction_read_only").fetchone() == ("on",)
            await analyst_roles.revoke_analyst(filled.dsn, "kim")
            kept = connection.execute(
                "SELECT nspname FROM pg_namespace WHERE nspname IN ('a_trap', 'b_shared')"
            )
            assert len(kept.fetchall()) == 2
        finally:
            connection.execute("DROP SCHEMA IF EXISTS a_trap, b_shared")
            connection.execute("DROP ROLE mallory")
