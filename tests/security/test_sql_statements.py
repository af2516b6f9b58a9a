"""`query_sql` runs only what it has checked, and within limits that protect the other callers."""

from __future__ import annotations

import asyncio
import re

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db import row_security
from tests.security.two_principals import ALICE, BOB, IMAGES, WORDS, House, call, call_json
from tests.support.peak_memory import PeakMemory

#: Texts that an earlier lexer read differently than Postgres. Each hides a call.
HIDDEN_CALLS = [
    text.replace("CALL", hidden)
    for hidden in (
        "pg_sleep(2)::text",
        "(SELECT string_agg(rolname, ',') FROM pg_roles)",
        "(SELECT string_agg(relname || n_live_tup, ',') FROM pg_stat_user_tables)",
        "(SELECT count(*) FROM pg_class)",
        "pg_logical_emit_message(false, 'a', 'b')::text",
        "pg_advisory_lock(1)::text",
    )
    for text in (
        "SELECT 1 --\r , CALL",
        "SELECT 1 -- a\r--\r\t, CALL",
        "SELECT E'a'\n'b\\' , ' , CALL /* ' */",
        "SELECT E'a'\r'b\\' , ' , CALL --'",
        "SELECT E'a' --\n'b\\' , ' , CALL --'",
        "SELECT 'a'\n E'b\\' , ' , CALL --'",
        "SELECT U&'\\0027 , ' , CALL",
        'SELECT U&"a" , CALL, \'"\'',
        "SELECT N'a\\' , CALL --'",
        "SELECT $a$ $b$ $a$ , CALL , $c$ $b$ $c$",
        "SELECT $ä$ $a$ $ä$ , CALL , $a$ $a$",
        "SELECT 1 /* /* */ , ' */ , CALL , /* '",
        "SELECT 1 +/* -- */ 1 , CALL",
        "SELECT '\u2028' --\u2028 x\r, CALL",
        "SELECT 1\x0b--\x0c\r, CALL",
        "SELECT 1 -- \x85\r, CALL",
        'SELECT """", CALL AS """"',
    )
]
#: The same without a trick, and other texts that must be refused.
REFUSED = [
    "SELECT pg_sleep(2)",
    'SELECT "pg_sleep"(2)',
    "SELECT pg_catalog . pg_sleep(2)",
    "SELECT (2).pg_sleep",
    "SELECT * FROM ROWS FROM (pg_sleep(2))",
    "SELECT 1 WHERE 1 OPERATOR(pg_catalog.=) 1",
    "SET ROLE sightline_principal",
    "RESET ROLE",
    "SELECT set_config('role', 'sightline_principal', true)",
    "SELECT set_config('sightline.principal', 'bob', true)",
    "SELECT current_setting('sightline.principal', true)",
    "SELECT 1 INTO stolen",
    "SELECT 1; SELECT 2",
    "SELECT 1) AS q; DELETE FROM sightline.asset; SELECT * FROM (SELECT 1",
    "SELECT 1) AS q UNION ALL SELECT pg_sleep(1) FROM (SELECT 2",
    "SELECT 1) AS q OFFSET 0) AS q, (SELECT * FROM (SELECT repeat('x', 9999999)",
    "WITH gone AS (DELETE FROM assets RETURNING 1) SELECT * FROM gone",
    "SELECT * FROM sightline.asset",
    "SELECT * FROM sightline.principal",
    "SELECT sightline.visible_collection_ids()",
    "SELECT * FROM sightline.asset TABLESAMPLE system(100)",
    "SELECT pg_read_file('/etc/passwd')",
    "SELECT lo_import('/etc/passwd')",
    "SELECT lo_from_bytea(0, 'x')",
    "SELECT lo_get(16384)",
    "SELECT * FROM dblink('dbname=sightline', 'SELECT 1') AS t (x int)",
    "SELECT query_to_xml('SELECT 1', true, true, '')",
    "SELECT database_to_xml(true, true, '')",
    "SELECT '<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>'::xml",
    "SELECT xmlparse(document '<a/>')",
    "SELECT treat('sightline.asset' AS to_regclass)",
    "SELECT treat('max_connections' AS current_setting)",
    "SELECT treat(16384 AS obj_description)",
    "SELECT treat('SELECT tokens FROM sightline.passage' AS ts_stat)",
    "SELECT TREAT('x' AS \"version\")",
    "SELECT collation for ('a')",
    "SELECT ts_stat('SELECT tokens FROM sightline.passage')",
    "SELECT ts_rewrite('a & b'::tsquery, 'SELECT t, s FROM aliases')",
    "SELECT txid_current()",
    "SELECT nextval('sightline.passage_id_seq')",
    "SELECT currval('sightline.passage_id_seq')",
    "SELECT version()",
    "SELECT inet_server_addr()",
    "SELECT row_security_active('sightline.asset')",
    "SELECT obj_description(16384)",
    "SELECT 16384::regclass",
    "SELECT '{16384}'::_regclass",
    'SELECT 16384::"regclass"',
    "SELECT CAST('sightline.asset' AS regclass)",
    "SELECT to_regclass('sightline.asset')",
    "SELECT * FROM jsonb_to_record('{}') AS t (x _regrole)",
    "SELECT * FROM query_plan('SELECT pg_sleep(1)')",
    "SELECT * FROM analytics.query_plan('SELECT * FROM pg_authid')",
    "SELECT * FROM pg_stats",
    "SELECT * FROM pg_catalog.pg_roles",
    "SELECT * FROM information_schema.tables",
    "EXPLAIN ANALYZE SELECT 1",
    "EXPLAIN (VERBOSE) SELECT 1",
    "COPY assets TO PROGRAM 'sh'",
    "DO $$ BEGIN END $$",
]


@pytest.mark.parametrize("explain", [False, True])
async def test_no_text_runs_a_hidden_call(house: House, explain: bool) -> None:
    answered = []
    async with house.client("alice") as alice:
        for text in (*HIDDEN_CALLS, *REFUSED):
            result = await alice.call_tool("query_sql", {"sql": text, "explain": explain})
            if not result.is_error:
                answered.append((text, result.structured_content))
    assert answered == []


async def test_the_role_of_a_principal_has_no_harmful_right(house: House) -> None:
    """Without the checks of the text, the rights of the role refuse the same calls."""
    async with house.client("alice") as alice:
        await call_json(alice, "query_sql", sql="SELECT 1")
    dsn = make_conninfo(house.dsn, user=query_role(house, "alice"))
    with psycopg.connect(dsn, autocommit=True) as connection:
        assert connection.execute("SELECT count(*) FROM assets").fetchone() == (IMAGES,)
        for name, value in LIMITS.items():
            query = sql.SQL("SHOW {}").format(sql.Identifier(name))
            assert connection.execute(query).fetchone() == (value,), name
        connection.execute("SET default_transaction_read_only = off")
        for text in (
            "SET temp_file_limit = -1",
            "RESET temp_file_limit",
            "SET log_min_messages = 'warning'",
            "SET log_min_error_statement = 'debug5'",
            "SET log_statement = 'all'",
            "SELECT pg_advisory_lock(1)",
            "SELECT pg_try_advisory_xact_lock_shared(1, 2)",
            "SELECT pg_sleep(1)",
            "SELECT pg_logical_emit_message(false, 'a', 'b')",
            "SELECT lo_from_bytea(0, 'x')",
            "SELECT lo_create(0)",
            "SELECT pg_notify('a', 'b')",
            "SELECT pg_terminate_backend(pg_backend_pid())",
            "SELECT txid_current()",
            "SELECT pg_export_snapshot()",
            "SELECT n_live_tup FROM pg_stat_user_tables",
            "CREATE TEMP TABLE t (x int)",
            "CREATE TABLE analytics.t (x int)",
            "CREATE TABLE public.t (x int)",
            "SET ROLE sightline_principal",
        ):
            with pytest.raises(errors.InsufficientPrivilege):
                connection.execute(text.encode())


LIMITS = {
    "temp_file_limit": "512MB",
    "log_min_messages": "fatal",
    "work_mem": "16MB",
    "max_parallel_workers_per_gather": "0",
    "statement_timeout": "1min",
    "lock_timeout": "2s",
    "idle_in_transaction_session_timeout": "10min",
    "default_transaction_read_only": "on",
}


def query_role(house: House, name: str) -> str:
    ((role,),) = house.rows("SELECT db_role FROM sightline.principal WHERE name = %s", name)
    return str(role)


async def test_a_plan_tells_no_estimate(house: House) -> None:
    """The planner estimates from the rows of all principals."""
    house.rows("ANALYZE")
    plans: dict[str, set[str]] = {}
    async with house.client("alice") as alice, house.client("boss") as boss:
        for client in (alice, boss):
            for view, column in TEXT_COLUMNS:
                for word in (WORDS["bob"][0], "zzzz"):
                    text = f"SELECT * FROM {view} WHERE {column} >= '{word}'"
                    plan = await call(client, "query_sql", sql=text, explain=True)
                    assert "QUERY PLAN" in plan
                    assert not re.search(r"cost|rows=|width=|loops|Memory|Buffers", plan), plan
                    plans.setdefault(f"{view}.{column}", set()).add(plan.replace(word, "?"))
    # Nor do they have another shape for words that only another principal has.
    assert {name for name, found in plans.items() if len(found) > 1} == set()


TEXT_COLUMNS = [
    ("passages", "text"),
    ("assets", "caption"),
    ("sources", "source"),
    ("searches", "query"),
    ("annotations", "label"),
]


async def test_a_large_value_does_not_enter_the_server(house: House) -> None:
    grown = PeakMemory()
    async with house.client("alice") as alice, house.client("bob") as bob:
        for text, words in (
            ("SELECT repeat('x', 50000000)", "a row of the result has 50000002 bytes"),
            ("SELECT repeat('x', 400000000)", "more memory than 256 MiB"),
            ("SELECT repeat('x', 50000000)::int", "more than 16,777,216 bytes"),
            ("SELECT array_agg(n) FROM generate_series(1, 9000000) AS n", "more memory than"),
            ("SELECT repeat('x', 900000) FROM generate_series(1, 900)", '"truncated"'),
        ):
            found = await asyncio.gather(
                *(call(alice, "query_sql", sql=text) for _ in range(2)),
                call(bob, "query_sql", sql="SELECT count(*) FROM assets"),
            )
            for answer in found[:2]:
                # Without prlimit (not Linux), Postgres builds the value and refuses the row.
                assert words in answer or "a row of the result" in answer, answer[:500]
                assert len(answer) < 250_000
            assert f"[[{IMAGES}]]" in found[2]
    assert grown.bytes() < 150_000_000


async def test_temporary_files_are_limited(house: House) -> None:
    house.bind("carol", [ALICE])
    try:
        async with house.client("carol") as carol:
            await call_json(carol, "query_sql", sql="SELECT 1")
            role = query_role(house, "carol")
            # The real limit would take seconds to reach.
            house.rows(f"ALTER ROLE {role} IN DATABASE sightline SET temp_file_limit = '1MB'")
            for rows in (
                "SELECT n FROM generate_series(1, 1000000) AS n ORDER BY -n OFFSET 1000",
                "SELECT repeat('x', 999) || n FROM generate_series(1, 30000) AS n ORDER BY 1",
                "SELECT DISTINCT repeat('x', 999) || n FROM generate_series(1, 60000) AS n",
            ):
                text = f"WITH a AS MATERIALIZED ({rows}) SELECT count(*) FROM a"
                answer = await call(carol, "query_sql", sql=text)
                assert 'temporary file size exceeds "temp_file_limit" (1024kB)' in answer
    finally:
        unbind(house, "carol")


def unbind(house: House, name: str) -> None:
    async def remove() -> None:
        database = await house.runtime.database.get()
        async with database.connection() as connection:
            await row_security.remove_binding(connection, name)
        house.runtime.principal_cache.sees_everything.clear()

    house.run(remove)


async def test_a_principal_that_is_bound_again_sees_its_new_collections(house: House) -> None:
    question = "SELECT collection, count(*) FROM assets GROUP BY collection"
    try:
        async with house.client("carol") as carol:
            for collection in (ALICE, BOB):
                house.bind("carol", [collection])
                answer = await call_json(carol, "query_sql", sql=question)
                assert answer["rows"] == [[collection, IMAGES]]
                unbind(house, "carol")
    finally:
        unbind(house, "carol")


async def test_one_principal_does_not_hold_all_slots(house: House) -> None:
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND application_name = 'sightline query_sql'"
    )
    with psycopg.connect(house.dsn, autocommit=True) as owner:
        async with house.client("alice") as alice, house.client("bob") as bob:
            await call_json(bob, "query_sql", sql="SELECT 1")  # creates the roles
            await call_json(alice, "query_sql", sql="SELECT 1")
            with owner.transaction():
                owner.execute("LOCK TABLE sightline.annotation")
                text = "SELECT count(*) FROM annotations"
                blocked = [
                    asyncio.create_task(call(alice, "query_sql", sql=text)) for _ in range(8)
                ]
                while house.rows(waiting) != [(2,)]:
                    assert not all(each.done() for each in blocked)
                    await asyncio.sleep(0)
                answer = await call_json(bob, "query_sql", sql="SELECT count(*) FROM assets")
                assert answer["rows"] == [[IMAGES]]
                assert house.rows(waiting)[0][0] <= 2
                assert not all(each.done() for each in blocked)
            await asyncio.gather(*blocked)


#: Each names a role, "ROLE".
ROLE_ORACLES = [
    "SELECT has_database_privilege('ROLE', 'sightline', 'CONNECT')",
    "SELECT has_table_privilege('ROLE', 'assets', 'SELECT')",
    "SELECT has_schema_privilege('ROLE', 'analytics', 'USAGE')",
    "SELECT has_any_column_privilege('ROLE', 'assets', 'SELECT')",
    "SELECT has_parameter_privilege('ROLE', 'work_mem', 'SET')",
    "SELECT \"has_table_privilege\"('ROLE', 'assets', 'SELECT')",
    "SELECT ('ROLE').has_table_privilege",
    "SELECT pg_has_role('ROLE', 'MEMBER')",
    "SELECT 'ROLE=r/ROLE'::aclitem",
    "SELECT aclitem 'ROLE=r/ROLE'",
    "SELECT CAST('ROLE=r/ROLE' AS \"aclitem\")",
    "SELECT '{ROLE=r/ROLE}'::aclitem[]",
    "SELECT '{ROLE=r/ROLE}'::_aclitem",
    'SELECT * FROM json_to_record(\'{"x": "ROLE=r/ROLE"}\') AS t (x aclitem)',
    "SELECT aclexplode('{ROLE=r/ROLE}')",
    "SELECT hash_aclitem('ROLE=r/ROLE')",
    "SELECT aclcontains('{}', 'ROLE=r/ROLE')",
    "SELECT makeaclitem('ROLE'::regrole, 10, 'SELECT', false)",
    "SELECT 'ROLE'::regrole",
    "SELECT '{ROLE}'::_regrole",
    "SELECT to_regrole('ROLE')",
    "SELECT treat('ROLE' AS to_regrole)",
    "SELECT treat ( 'ROLE' AS \"to_regrole\" )",
    "SELECT treat(treat('ROLE' AS to_regrole) AS regroleout)",
    "SELECT regrole 'ROLE'",
    "SELECT 1 FROM assets WHERE current_user = 'ROLE'",
    "SET ROLE ROLE",
]


@pytest.mark.parametrize("explain", [False, True])
async def test_answers_do_not_tell_which_roles_exist(house: House, explain: bool) -> None:
    async with house.client("bob") as bob:
        await call_json(bob, "query_sql", sql="SELECT 1")
    existing, missing = query_role(house, "bob"), "sightline_query_77777"
    different = []
    async with house.client("alice") as alice:
        for text in ROLE_ORACLES:
            real, fake = [
                (await call(alice, "query_sql", sql=text.replace("ROLE", name), explain=explain))
                .lower()
                .replace(name, "?")
                for name in (existing, missing)
            ]
            if real != fake:
                different.append((text, real, fake))
    assert different == []


async def test_strings_are_read_alike_whatever_the_settings_of_the_role(house: House) -> None:
    """With this setting off, a backslash would escape the quote after it."""
    async with house.client("alice") as alice:
        await call_json(alice, "query_sql", sql="SELECT 1")
        name = query_role(house, "alice")
        role = sql.Identifier(name).as_string()
        try:
            house.rows(f"ALTER ROLE {role} SET standard_conforming_strings = off")
            house.rows(f"ALTER ROLE {role} SET client_encoding = 'LATIN1'")
            answer = await call_json(
                alice, "query_sql", sql=r"SELECT 'a\', ' , count(*), 1 AS b --', 'ä\'"
            )
        finally:
            house.rows(f"ALTER ROLE {role} RESET standard_conforming_strings")
            house.rows(f"ALTER ROLE {role} RESET client_encoding")
        again = await call_json(alice, "query_sql", sql="SELECT 'ä\\', '\\'")
    assert answer["rows"] == [["a\\", " , count(*), 1 AS b --", "ä\\"]]
    assert again["rows"] == [["ä\\", "\\"]]


def test_a_runner_without_slots_of_a_server_has_its_own() -> None:
    first, second = (SqlRunner("", timeout_seconds=1, max_rows=1, max_bytes=1) for _ in range(2))
    assert first._slots is not second._slots
