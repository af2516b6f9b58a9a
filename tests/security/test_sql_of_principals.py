"""SQL as a bound principal and as a bound analyst, over every relation of the catalog.

Tables, views and functions come from the catalog, so that a new one is tested too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.analyst_roles import ensure_query_role, grant_analyst
from tests.security.two_principals import ALICE, BOB, WORDS, House, call_json

Connection = psycopg.Connection[tuple[object, ...]]

#: Rows that both principals may see, because they contain nothing of a collection.
SHARED = {"sightline.embedding_space"}
#: They repeat what the reader searched for.
OWN_SEARCHES = {"sightline.retrieval_log", "analytics.searches"}
#: Nobody but the owner of the tables reads these.
DENIED = {"sightline.principal", "sightline.collection_binding", "sightline.schema_version"}
#: Tables in which both principals have rows, so that the tests compare something.
FILLED = {
    *("collection", "source", "asset", "thumbnail", "passage", "posting", "embedding"),
    *("annotation", "retrieval_log", "cluster", "cluster_member", "collection_embedding_space"),
}
#: Values of the text arguments of the functions in the schema analytics, by name.
TEXTS = {
    **dict.fromkeys(("asset", "a", "b"), "'{asset}'"),
    "collection_name": "'{collection}'",
    "query": "'{collection}'",
    "statement": "$$SELECT * FROM analytics.assets WHERE asset_id = '{asset}'$$",
}
#: Values of the other arguments without a default, by type.
OTHERS = {
    "halfvec": "(SELECT embedding FROM analytics.embeddings LIMIT 1)",
    "tstzrange": "'(,)'",
    **dict.fromkeys(("integer", "bigint", "double precision"), "1"),
}
ANNOTATION = "(asset_id, label, x0, y0, x1, y1, origin) VALUES (%s, 'x', 0, 0, 1, 1, 'person')"
SEARCH = "(principal, tool, total_ms, result_count) VALUES (%s, 'search_text', 1, 0)"


@dataclass(frozen=True)
class Logins:
    """How alice and bob reach the database, by name of the way."""

    owner: str
    analysts: dict[str, str]
    query_roles: dict[str, str]


@pytest.fixture(scope="module")
def logins(house: House) -> Logins:
    async def prepare() -> dict[str, str]:
        database = await house.runtime.database.get()
        await cluster_analysis.cluster_collections(database, k=2)
        await cluster_analysis.find_near_duplicates(database)
        async with database.connection() as connection:
            return {
                who: make_conninfo(house.dsn, user=await ensure_query_role(connection, who))
                for who in ("alice", "bob")
            }

    async def search(who: str, collection: str) -> None:
        async with house.client(who) as client:
            await call_json(client, "search_text", query="number", collection=collection)

    analysts = {}
    for who, collection in (("alice", ALICE), ("bob", BOB)):
        asyncio.run(search(who, collection))
        analysts[who] = asyncio.run(
            grant_analyst(house.dsn, f"analyst_{who}", collections=[collection])
        )
    return Logins(house.dsn, analysts, house.run(prepare))


@contextmanager
def principal(logins: Logins, who: str) -> Iterator[Connection]:
    """Connect as the server does for a call of a bound principal; roll back at the end."""
    with psycopg.connect(logins.owner) as connection:
        connection.execute(
            "SELECT set_config('role', 'sightline_principal', true), "
            "set_config('sightline.principal', %s, true)",
            [who],
        )
        yield connection
        connection.rollback()


@contextmanager
def analyst(logins: Logins, who: str) -> Iterator[Connection]:
    with psycopg.connect(logins.analysts[who]) as connection:
        connection.execute("SET default_transaction_read_only = off")
        yield connection
        connection.rollback()


@contextmanager
def query_role(logins: Logins, who: str) -> Iterator[Connection]:
    with psycopg.connect(logins.query_roles[who]) as connection:
        yield connection
        connection.rollback()


WAYS = [principal, analyst, query_role]


def relations(logins: Logins) -> list[tuple[str, sql.Composable]]:
    """Return every table and view outside of the system schemas."""
    with psycopg.connect(logins.owner) as connection:
        rows = connection.execute(
            "SELECT n.nspname, c.relname FROM pg_class AS c "
            "JOIN pg_namespace AS n ON n.oid = c.relnamespace "
            "WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') "
            "AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'pg_toast') "
            "AND n.nspname NOT LIKE 'pg\\_temp%' ORDER BY 1, 2"
        ).fetchall()
    return [(f"{schema}.{name}", sql.Identifier(schema, name)) for schema, name in rows]


def visible(connection: Connection, relation: sql.Composable) -> set[str] | None:
    """Return the rows as text, or None if the role may not read them."""
    try:
        with connection.transaction():
            rows = connection.execute(sql.SQL("SELECT r::text FROM {} AS r").format(relation))
            return {str(row[0]) for row in rows}
    except errors.InsufficientPrivilege:
        return None


@pytest.mark.parametrize("way", WAYS)
def test_no_relation_shows_a_row_of_another(way, logins: Logins) -> None:
    shared, filled, denied = set(), set(), set()
    with way(logins, "alice") as alice, way(logins, "bob") as bob:
        for name, relation in relations(logins):
            mine, theirs = visible(alice, relation), visible(bob, relation)
            assert (mine is None) == (theirs is None), name
            if mine is None or theirs is None:
                denied.add(name)
                continue
            if mine & theirs:
                shared.add(name)
            if mine and theirs:
                filled.add(name)
            if name in OWN_SEARCHES:
                continue
            for rows, words in ((mine, WORDS["bob"]), (theirs, WORDS["alice"])):
                assert not [row for row in rows if any(word in row for word in words)], name
    if way is principal:
        assert shared <= SHARED | {"analytics.embedding_spaces"}
        assert denied & {f"sightline.{name}" for name in FILLED} == set()
        assert filled >= {f"sightline.{name}" for name in FILLED}
    else:
        assert shared == set()
        assert {name for name, _ in relations(logins)} - denied == {
            name for name, _ in relations(logins) if name.startswith("analytics.")
        }
    assert denied >= DENIED


def columns(connection: Connection, name: str) -> list[str]:
    rows = connection.execute(
        "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 "
        "AND NOT attisdropped AND attgenerated = '' AND attidentity = ''",
        [name],
    ).fetchall()
    return [str(column) for (column,) in rows]


def updatable(connection: Connection, name: str, role: str) -> list[str]:
    """Return the columns that a role may update."""
    return [
        column
        for column in columns(connection, name)
        if connection.execute(
            "SELECT has_column_privilege(%s, %s::regclass, %s, 'UPDATE')", [role, name, column]
        ).fetchone()
        == (True,)
    ]


def writes(relation: sql.Composable, names: list[str]) -> list[sql.Composed]:
    """Return statements that delete, change and insert every row."""
    same = sql.SQL(", ").join(
        sql.SQL("{0} = {0}").format(sql.Identifier(column)) for column in names
    )
    return [
        sql.SQL("DELETE FROM {}").format(relation),
        sql.SQL("UPDATE {} SET {}").format(relation, same),
        sql.SQL("INSERT INTO {} DEFAULT VALUES").format(relation),
        sql.SQL("TRUNCATE {} CASCADE").format(relation),
    ]


@pytest.mark.parametrize("way", [analyst, query_role])
def test_an_analyst_writes_nothing(way, logins: Logins) -> None:
    with psycopg.connect(logins.owner) as owner, way(logins, "alice") as alice:
        alice.execute("SET TRANSACTION READ WRITE")
        for name, relation in relations(logins):
            assert updatable(owner, name, alice.info.user) == []
            for statement in writes(relation, columns(owner, name)):
                # A view that cannot be changed at all is refused for that reason.
                with (
                    pytest.raises(
                        (
                            errors.InsufficientPrivilege,
                            errors.ObjectNotInPrerequisiteState,
                            errors.FeatureNotSupported,
                            errors.GeneratedAlways,
                            errors.WrongObjectType,
                        )
                    ),
                    alice.transaction(),
                ):
                    alice.execute(statement)


def test_no_write_of_a_principal_reaches_rows_of_another(logins: Logins) -> None:
    every = relations(logins)
    with psycopg.connect(logins.owner) as owner:
        names = {
            name: updatable(owner, name, "sightline_principal") or columns(owner, name)
            for name, _ in every
        }
    with principal(logins, "bob") as bob:
        expected = {name: visible(bob, relation) for name, relation in every}
    allowed = set()
    for name, relation in every:
        for statement in writes(relation, names[name]):
            with principal(logins, "alice") as alice:
                try:
                    with alice.transaction():
                        alice.execute(statement)
                except psycopg.Error:
                    continue
                allowed.add((name, statement.as_string(alice).split()[0]))
                alice.execute("SELECT set_config('sightline.principal', 'bob', true)")
                assert {n: visible(alice, r) for n, r in every} == expected, name
    assert ("sightline.asset", "DELETE") in allowed  # the test is not vacuous
    assert {name for name, _ in allowed} & DENIED == set()


def test_rows_cannot_be_moved_into_or_written_for_another(house: House, logins: Logins) -> None:
    asset = house.assets[BOB][0]
    refused = r"row-level security|permission denied"
    for statement, parameters in (
        ("UPDATE sightline.annotation SET asset_id = %s", [asset]),
        (f"INSERT INTO sightline.annotation {ANNOTATION}", [asset]),
        (f"INSERT INTO sightline.retrieval_log {SEARCH}", ["bob"]),
    ):
        with (
            principal(logins, "alice") as alice,
            pytest.raises(errors.InsufficientPrivilege, match=refused),
        ):
            alice.execute(statement.encode(), parameters)


@pytest.mark.parametrize("way", [analyst, query_role])
def test_functions_answer_for_foreign_names_as_for_unknown_names(
    way, house: House, logins: Logins
) -> None:
    """A new text argument has to be added to `TEXTS`."""
    real = {"asset": house.assets[BOB][0], "collection": BOB}
    fake = {"asset": "0" * 12, "collection": "tugboats"}
    with way(logins, "alice") as alice:
        functions = alice.execute(
            "SELECT proname, coalesce(proargnames[:pronargs], '{}'), pronargs - pronargdefaults, "
            "ARRAY(SELECT format_type(t, NULL) FROM unnest(proargtypes) AS t) FROM pg_proc "
            "WHERE pronamespace = 'analytics'::regnamespace"
        ).fetchall()
        assert functions
        for name, argument_names, required, types in functions:
            values = {
                argument: TEXTS[argument] if kind == "text" else OTHERS[kind.rpartition(".")[2]]
                for number, (argument, kind) in enumerate(zip(argument_names, types, strict=True))
                if number < required or kind == "text"
            }
            form = ", ".join(f"{argument} => {value}" for argument, value in values.items())
            answers = []
            for words in (real, fake):
                text = form.format(**words)
                try:
                    with alice.transaction():
                        rows = alice.execute(f"SELECT * FROM analytics.{name}({text})".encode())
                        answers.append(str(rows.fetchall()))
                except psycopg.Error as error:
                    # The context differs between the first and later calls of a session.
                    answers.append(f"{error.diag.message_primary} {error.diag.message_hint}")
            for key, value in real.items():
                answers[0] = answers[0].replace(value, fake[key])
            assert answers[0] == answers[1], name
            assert not [word for word in WORDS["bob"] if word in answers[0]], name
