"""Every way out of the schema that is known: each is refused, by the text and by the login."""

from __future__ import annotations

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from sightline.storage.analytics import sql_guard
from sightline.storage.analytics.analyst_roles import QUERY_ROLE
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, NotAllowedError

ESCAPES = [
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT * FROM pg_read_file('/etc/passwd')",
    "SELECT \"pg_read_file\"('/etc/passwd')",
    "SELECT pg_catalog.pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "COPY assets TO PROGRAM 'sh'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "SET ROLE sightline",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION sightline",
    "SET statement_timeout = 0",
    "SET TRANSACTION READ WRITE",
    "SELECT set_config('statement_timeout', '0', false)",
    "SELECT SET_CONFIG('role', 'sightline', false)",
    "SELECT 1; SELECT 2",
    "SELECT 1; DROP TABLE sightline.asset",
    "COMMIT; DROP TABLE sightline.asset",
    "COMMIT",
    "WITH gone AS (DELETE FROM sightline.asset RETURNING id) SELECT * FROM gone",
    "WITH gone AS (DELETE FROM assets RETURNING asset_id) SELECT * FROM gone",
    "WITH new AS (INSERT INTO analytics.annotations (label) VALUES ('x') RETURNING 1) TABLE new",
    "INSERT INTO analytics.annotations (label) VALUES ('x')",
    "UPDATE assets SET caption = ''",
    "SELECT 1 INTO stolen",
    "CREATE TABLE x (y int)",
    "CREATE TEMP TABLE x (y int)",
    "SELECT * FROM assets FOR UPDATE",
    "SELECT pg_sleep(60)",
    'SELECT U&"\\0070g_sleep"(60)',
    "SELECT (SELECT pg_sleep(60))",
    "SELECT pg_advisory_lock(1)",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_create(0)",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT nextval('sightline.annotation_number')",
    "SELECT setseed(0.5)",
    "SELECT * FROM dblink('dbname=sightline', 'SELECT 1') AS t (x int)",
    "SELECT query_to_xml('SELECT * FROM sightline.asset', true, true, '')",
    "SELECT table_to_xml('pg_roles', true, true, '')",
    "SELECT ts_stat('SELECT tokens FROM sightline.passage')",
    "SELECT * FROM sightline.asset",
    'SELECT * FROM "sightline"."collection"',
    "SELECT * FROM sightline.resolve_embedding_space(1, 'asset')",
    "SELECT sightline.visible_collection_ids()",
    "SELECT sightline.ensure_roles()",
    "SELECT * FROM sightline.principal",
    "SET sightline.principal = 'desktop'",
    "SELECT set_config('sightline.principal', 'desktop', false)",
    "SELECT most_common_vals FROM pg_stats",
    "SELECT * FROM pg_policies",
    "SELECT pg_get_viewdef('assets'::regclass)",
    "SELECT * FROM pg_roles",
    "SELECT * FROM pg_catalog.pg_class",
    "SELECT * FROM information_schema.tables",
    "SELECT relname FROM pg_stat_user_tables",
    "SELECT query FROM pg_stat_activity",
    "SELECT 16384::regclass",
    "SELECT 10::regrole",
    "SELECT current_setting('data_directory')",
    "SELECT pg_terminate_backend(1)",
    "SELECT pg_notify('x', 'y')",
    "DO $$ BEGIN PERFORM pg_sleep(1); END $$",
    "CALL x()",
    "EXPLAIN ANALYZE DELETE FROM assets",
    "SHOW data_directory",
    "LISTEN x",
    "LOCK TABLE assets",
    "PREPARE x AS SELECT 1",
    "DECLARE c CURSOR FOR SELECT 1",
    "VACUUM",
    "LOAD 'auto_explain'",
    "GRANT sightline TO sightline_query",
    "ALTER ROLE sightline_query SUPERUSER",
    "",
    "-- nothing",
    "/* SELECT 1",
    "SELECT 'open",
]


@pytest.mark.parametrize("explain", [False, True])
async def test_each_escape_is_refused(runner: SqlRunner, explain: bool) -> None:
    got_out = []
    for text in ESCAPES:
        try:
            await runner.run(text, rows=10, explain=explain)
        except (NotAllowedError, InvalidArgumentError):
            continue
        got_out.append(text)
    assert got_out == []


REFUSALS = (errors.InsufficientPrivilege, errors.ObjectNotInPrerequisiteState)

#: What the login itself may not do, were the text let through.
BEYOND = [
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT pg_ls_dir('/')",
    "COPY analytics.assets TO PROGRAM 'sh'",
    "COPY (SELECT 1) TO '/tmp/x'",
    "SET ROLE sightline",
    "SET SESSION AUTHORIZATION sightline",
    "SELECT set_config('role', 'sightline', false)",
    "SELECT lo_import('/etc/passwd')",
    "DELETE FROM sightline.asset",
    "SELECT * FROM sightline.asset",
    "SELECT sightline.resolve_embedding_space(1, 'asset')",
    "SELECT sightline.visible_collection_ids()",
    "SELECT sightline.ensure_roles()",
    "SELECT sightline.enable_collection_policy('analytics.assets')",
    "SELECT * FROM sightline.principal",
    "UPDATE sightline.principal SET db_role = NULL",
    "SET ROLE sightline_principal",
    "SET ROLE sightline_analytics_owner",
    "ALTER VIEW analytics.assets OWNER TO sightline_query",
    "CREATE FUNCTION analytics.x() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "SELECT stavalues1 FROM pg_statistic",
    "DELETE FROM analytics.assets",
    "INSERT INTO analytics.searches (tool) VALUES ('x')",
    "CREATE TABLE analytics.x (y int)",
    "CREATE SCHEMA x",
    "CREATE ROLE x",
    "SELECT rolpassword FROM pg_authid",
    "SELECT query_to_xml('SELECT * FROM sightline.asset', true, true, '')",
]


def test_the_role_has_no_rights_even_in_a_writable_transaction(filled: Database) -> None:
    dsn = make_conninfo(filled.dsn, user=QUERY_ROLE)
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("SET default_transaction_read_only = off")
        for text in BEYOND:
            with pytest.raises(psycopg.Error) as refusal:
                connection.execute(text.encode())
            assert isinstance(refusal.value, REFUSALS), text


async def test_the_transaction_is_read_only_with_one_statement(filled: Database) -> None:
    runner = SqlRunner(
        make_conninfo(filled.dsn, user=QUERY_ROLE), timeout_seconds=60, max_rows=5, max_bytes=999
    )
    async with runner._session() as (connection, _):
        with pytest.raises(errors.ReadOnlySqlTransaction):
            await connection.execute("CREATE TEMP TABLE x (y int)")
        await connection.rollback()
        async with connection.cursor() as cursor:
            with pytest.raises(errors.SyntaxError, match="multiple commands"):
                async for _ in cursor.stream("SELECT 1; SELECT 2"):
                    pass


async def test_queries_do_not_run_as_a_role_with_more_rights(filled: Database) -> None:
    runner = SqlRunner(filled.dsn, timeout_seconds=60, max_rows=5, max_bytes=999)
    with pytest.raises(ConfigurationError, match=r"administrator rights.* grant-analyst"):
        await runner.run("SELECT 1", rows=1)


async def test_a_slow_statement_is_canceled(filled: Database) -> None:
    runner = SqlRunner(
        make_conninfo(filled.dsn, user=QUERY_ROLE),
        timeout_seconds=0.2,
        max_rows=5,
        max_bytes=999,
    )
    with pytest.raises(InvalidArgumentError, match=r"longer than 0\.2 s. Narrow"):
        await runner.run("SELECT count(*) FROM generate_series(1, 1000000000)", rows=1)


PLAIN = [
    "SELECT 1;",
    "select 'pg_sleep(1); DROP TABLE x'",
    "SELECT $x$ pg_roles; $x$",
    "SELECT E'it\\'s; -- no comment'",
    "-- why\nSELECT /* pg_roles /* nested */ ; */ 1",
    "(SELECT 1) UNION (SELECT 2)",
    "WITH a AS (SELECT 1) TABLE a",
    "VALUES (1), (2)",
    "SELECT random() < 2",
    "SELECT now() IS NOT NULL",
    'SELECT 1 AS "a ; ""b"""',
]


async def test_plain_queries_are_allowed(runner: SqlRunner) -> None:
    for text in PLAIN:
        assert (await runner.run(text, rows=10)).rows


def test_names_are_folded_like_in_postgres() -> None:
    found = sql_guard.check_statement('SELECT "Count"(x), Lower(y), (r).Len, "a""b" FROM t')
    assert found.called_names == ["Count", "len", "lower"]
    assert 'a"b' in found.names
