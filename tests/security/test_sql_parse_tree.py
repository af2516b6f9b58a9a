"""The parse tree of Postgres shows all that a statement uses."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine

import psycopg
import pytest
from psycopg import AsyncConnection, sql
from psycopg.conninfo import make_conninfo

from sightline.storage.analytics import parse_tree
from sightline.storage.analytics.analyst_roles import QUERY_ROLE, ensure_query_role
from sightline.storage.analytics.sql_functions import ALLOWED_FUNCTIONS
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, NotAllowedError

Refused = Callable[[str], Coroutine[None, None, list[str]]]


@pytest.fixture
async def refused(database: Database) -> AsyncIterator[Refused]:
    """Check a statement by its parse tree alone, as the role of `query_sql`."""
    async with database.connection() as connection:
        await ensure_query_role(connection)
    dsn = make_conninfo(database.dsn, user=QUERY_ROLE)
    async with await AsyncConnection.connect(dsn) as session:
        await session.set_read_only(True)

        async def ask(text: str) -> list[str]:
            query = sql.Composed([sql.SQL(text)])  # type: ignore[arg-type]
            try:
                return await parse_tree.refused_objects(
                    session, parse_tree.prepare_statement(query)
                )
            finally:
                await session.rollback()
                await session.execute("DEALLOCATE ALL")
                await session.rollback()

        yield ask


#: Ways to use what is not allowed, with its name.
USES = [
    ("SELECT treat('x' AS to_regrole)", ["regrole", "to_regrole"]),
    ("SELECT treat('x' AS current_setting)", ["current_setting"]),
    ("SELECT ('x'::text).current_setting", ["current_setting"]),
    ("SELECT current_setting('a')", ["current_setting"]),
    ("SELECT * FROM ROWS FROM (current_setting('a'))", ["current_setting"]),
    ("SELECT 1 WHERE 'a' IN (SELECT current_setting('a'))", ["current_setting"]),
    ("SELECT 1 GROUP BY current_setting('a')", ["current_setting"]),
    ("SELECT 1 ORDER BY current_setting('a')", ["current_setting"]),
    ("SELECT 1 LIMIT length(current_setting('a'))", ["current_setting"]),
    ("SELECT count(*) FILTER (WHERE current_setting('a') = '')", ["current_setting"]),
    ("SELECT count(current_setting('a')) OVER ()", ["current_setting"]),
    ("SELECT sum(1) OVER (ORDER BY current_setting('a'))", ["current_setting"]),
    ("VALUES (current_setting('a'))", ["current_setting"]),
    ("WITH a AS (SELECT current_setting('a')) SELECT 1", ["current_setting"]),
    ("SELECT 1 UNION SELECT length(current_setting('a'))", ["current_setting"]),
    ("SELECT (ARRAY[1])[length(current_setting('a'))]", ["current_setting"]),
    ("SELECT CASE current_setting('a') WHEN 'b' THEN 1 END", ["current_setting"]),
    ("SELECT json_object('a': current_setting('a'))", ["current_setting"]),
    ("SELECT json_value('{}', '$.a' PASSING current_setting('a') AS x)", ["current_setting"]),
    ("SELECT grouping(current_setting('a')) GROUP BY current_setting('a')", ["current_setting"]),
    ("SELECT nearest(asset => current_setting('a'))", ["current_setting"]),
    ("SELECT concat(VARIADIC ARRAY[current_setting('a')])", ["current_setting"]),
    ("SELECT rank(current_setting('a')) WITHIN GROUP (ORDER BY 'a')", ["current_setting"]),
    ("SELECT collation for ('a')", ["pg_collation_for"]),
    ("SELECT 1::regclass", ["regclass"]),
    ("SELECT 'pg_class'::text::regclass", ["regclass"]),
    ("SELECT '{}'::regrole[]", ["_regrole"]),
    ("SELECT regclass 'pg_class'", ["regclass"]),
    ("SELECT * FROM json_to_record('{}') AS t (x regrole)", ["regrole"]),
    ("SELECT json_value('1', '$' RETURNING regrole)", ["regrole"]),
    ("SELECT * FROM json_table('[]', '$' COLUMNS (x regrole PATH '$')) AS t", ["regrole"]),
    ("SELECT NULL::aclitem = NULL", ["aclitem"]),
    ("SELECT NULL::xml", ["xml"]),
    ("SELECT pg_typeof(1)", ["pg_typeof", "regtype"]),
    ("SELECT (SELECT count(*) FROM pg_class)", ["pg_class"]),
    ("TABLE pg_roles", ["pg_roles"]),
    ("SELECT * FROM information_schema.tables", ["tables"]),
    ("SELECT random(), setseed(0.5)", ["setseed"]),
    ("SELECT nextval(NULL)", ["nextval", "regclass"]),
    ("SELECT analytics.query_plan('SELECT 1')", ["query_plan"]),
]


@pytest.mark.parametrize(("text", "names"), USES)
async def test_each_use_is_seen(refused: Refused, text: str, names: list[str]) -> None:
    found = await refused(text)
    # The views of information_schema and their columns have types of their own.
    assert set(names) <= set(found)
    assert len(found) <= 3


ALLOWED = [
    "SELECT * FROM assets AS a JOIN sources AS s USING (source_id) WHERE a.caption LIKE 'x%'",
    "SELECT metadata ->> 'a', metadata @> '{}', caption || 1 FROM assets",
    "SELECT * FROM nearest('a', 3), coverage(), duplicates()",
    "SELECT embedding <=> '[1]', avg(embedding) OVER () FROM embeddings",
    "SELECT to_tsvector('simple', 'a') @@ 'a', websearch_to_tsquery('english', 'b')",
    "SELECT now() - interval '1 day', now()::date, extract(year FROM now())",
    "SELECT now() AT TIME ZONE 'UTC', trim(both 'a' FROM 'b'), overlay('a' PLACING 'b' FROM 1)",
    (
        "SELECT sum(n) OVER (ORDER BY n RANGE BETWEEN 1 PRECEDING AND CURRENT ROW) "
        "FROM generate_series(1, 2) AS n"
    ),
    (
        "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY n), grouping(n) "
        "FROM (VALUES (1)) AS t (n) GROUP BY n"
    ),
    "SELECT position('a' IN 'b'), 'a' SIMILAR TO 'b', 'a' LIKE 'b' ESCAPE 'c', 'a' ~ 'b'",
    "SELECT json_object('a': 1), json_array(1), '{}' IS JSON, json_arrayagg(1)",
    "SELECT ROW(1, 2) < ROW(2, 3), ARRAY[1] || 2, 1 = ANY (ARRAY[1]), greatest(1, 2), nullif(1, 2)",
    "SELECT random(), current_date, current_user, '(1,2)'::point <-> '(3,4)', '1.5'::money",
    (
        "WITH RECURSIVE t (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) "
        "SEARCH DEPTH FIRST BY n SET o TABLE t"
    ),
    "SELECT * FROM json_table('[1]', '$[*]' COLUMNS (a int PATH '$')) AS t",
]


@pytest.mark.parametrize("text", ALLOWED)
async def test_ordinary_statements_use_only_what_is_allowed(refused: Refused, text: str) -> None:
    assert await refused(text) == []


async def test_every_function_that_grammar_can_call_is_seen(
    refused: Refused, database: Database
) -> None:
    """TREAT calls any function of one argument."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT DISTINCT p.proname::text, format_type(p.proargtypes[0], NULL) "
            "FROM pg_proc AS p WHERE p.pronamespace = 'pg_catalog'::regnamespace "
            "AND p.prokind = 'f' AND p.pronargs = 1 AND p.proname <> ALL (%s) "
            "AND p.proname !~ '(in|out|recv|send|typmodin|hash\\w*)$' "
            "AND NOT EXISTS (SELECT FROM pg_operator WHERE oprcode = p.oid) "
            "AND NOT EXISTS (SELECT FROM pg_cast WHERE castfunc = p.oid) ORDER BY 1",
            [ALLOWED_FUNCTIONS],
        )
        functions = await cursor.fetchall()
    seen, unseen = set(), []
    for name, type_ in functions:
        try:
            found = await refused(f'SELECT treat(NULL::{type_} AS "{name}")')
        # A pseudotype, or another overload fits as well.
        except (psycopg.errors.ProgrammingError, psycopg.errors.FeatureNotSupported):
            continue
        seen.add(name)
        if name not in found:
            unseen.append(name)
    assert unseen == []
    assert {"current_setting", "to_regrole", "ts_stat", "obj_description"} <= seen
    assert len(seen) > 150


@pytest.fixture
async def runner(database: Database) -> SqlRunner:
    async with database.connection() as connection:
        await ensure_query_role(connection)
    return SqlRunner(
        make_conninfo(database.dsn, user=QUERY_ROLE),
        timeout_seconds=60,
        max_rows=10,
        max_bytes=1000,
    )


async def test_query_sql_checks_the_parse_tree(
    runner: SqlRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Here the check of the text is switched off."""
    monkeypatch.setattr("sightline.storage.analytics.sql_guard._HIDDEN_CALLS", {})
    for explain in (False, True):
        with pytest.raises(NotAllowedError, match="'regrole', 'to_regrole' is not allowed"):
            await runner.run("SELECT treat('x' AS to_regrole)", rows=1, explain=explain)


async def test_a_statement_with_a_large_tree_is_refused(runner: SqlRunner) -> None:
    nested = "SELECT * FROM assets"
    for _ in range(300):
        nested = f"SELECT * FROM ({nested}) AS t"
    with pytest.raises(InvalidArgumentError, match=r"parsed, it has .* and the maximum is"):
        await runner.run(nested, rows=1)


def test_text_in_a_tree_is_no_field() -> None:
    tree = (
        r"{QUERY :commandType 1 :x {CONST :constvalue 4 [ 58 1 ]} {ALIAS :aliasname "
        r'a\ :funcid\ 1 :colnames ("b\ :relid\ 2")} {FUNCEXPR :funcid 3 :funcresulttype 4} '
        "{RTE :relid\n5 :coltypes (o 6\n7) :funccoltypes <>} {OPEXPR :opno 8 :opfuncid 9)}}"
    )
    assert parse_tree.referenced_objects(tree) == parse_tree.ReferencedObjects(
        frozenset({3, 9}), frozenset({1, 4, 6, 7}), frozenset({5})
    )
