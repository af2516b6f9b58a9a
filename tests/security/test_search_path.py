"""Nobody can replace a function or an operator that the server uses (finding 1)."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import errors, sql
from psycopg.conninfo import make_conninfo

from sightline.server.cli.admin.doctor import diagnose
from sightline.server.config import load_settings
from sightline.server.database import schema_migration
from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.errors import SchemaError
from sightline.storage.isolation.caller import as_principal
from sightline.storage.records import collections
from sightline.storage.retrieval import PassageSearch
from sightline.storage.retrieval.search_types import PassageRequest
from tests.support.database_rows import add_passage, add_source

ROOT = Path(__file__).parents[2]

# In no catalog: Postgres takes an operator with exactly these types from any schema of the path.
OPERATOR = """
CREATE TABLE public.said (session_user_name text, current_user_name text);
GRANT ALL ON public.said TO PUBLIC;
CREATE FUNCTION public.plus(a float8, b integer) RETURNS float8 LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE 'RESET ROLE';
    INSERT INTO public.said VALUES (session_user, current_user);
    RETURN a OPERATOR(pg_catalog.+) b::float8;
END
$$;
CREATE OPERATOR public.+ (LEFTARG = float8, RIGHTARG = integer, FUNCTION = public.plus);
"""


def run(dsn: str, *statements: str) -> list[tuple[object, ...]]:
    """Execute statements; return the rows of the last one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


@pytest.fixture
def mallory(postgres_dsn: str) -> Iterator[str]:
    """A login that owns nothing; dropped with what it made."""
    run(postgres_dsn, "CREATE ROLE mallory LOGIN")
    yield "mallory"
    run(postgres_dsn, "DROP OWNED BY mallory CASCADE", "DROP ROLE mallory")


@pytest.fixture
def in_public(empty_dsn: str, mallory: str) -> Iterator[str]:
    """The review's database: pgvector is in `public`, where everybody may create objects."""
    run(empty_dsn, "CREATE EXTENSION vector WITH SCHEMA public")
    schema_migration.upgrade(empty_dsn)
    run(
        empty_dsn,
        "GRANT CREATE ON SCHEMA public TO PUBLIC",
        f"GRANT sightline_analyst TO {mallory}",
    )
    yield empty_dsn
    run(empty_dsn, f"DROP OWNED BY {mallory} CASCADE")


async def searched(dsn: str) -> list[str]:
    """Search as a bound principal; return the texts."""
    database = await Database.open(dsn)
    try:
        async with database.connection() as connection:
            album = await collections.ensure(connection, "album")
            source = await add_source(connection, album, "a.txt")
            await add_passage(connection, album, source, "colored box")
            await row_security.bind(connection, "alice", ["album"])
        with as_principal("alice"):
            found = await PassageSearch(database, None, signing_key=b"k").search(
                PassageRequest(query="colored box")
            )
        return [hit.passage.text for hit in found.hits]
    finally:
        await database.close()


async def test_the_takeover_is_refused_until_pgvector_is_moved(
    in_public: str, mallory: str
) -> None:
    run(make_conninfo(in_public, user=mallory), OPERATOR)
    fix = r"REVOKE CREATE ON SCHEMA public FROM PUBLIC .*ALTER EXTENSION vector SET SCHEMA"
    with pytest.raises(SchemaError, match=fix):
        await Database.open(in_public)
    # What was created before stays dangerous.
    run(in_public, "REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    with pytest.raises(SchemaError, match=r"mallory owns .* DROP OPERATOR public\.\+"):
        await Database.open(in_public)
    run(
        in_public,
        "CREATE SCHEMA sightline_vector",
        "GRANT USAGE ON SCHEMA sightline_vector TO PUBLIC",
        "ALTER EXTENSION vector SET SCHEMA sightline_vector",
    )
    with pytest.raises(SchemaError, match=r"looks up names in the schema public; .* migrate"):
        await Database.open(in_public)
    schema_migration.upgrade(in_public)
    assert await searched(in_public) == ["colored box"]
    assert run(in_public, "SELECT * FROM public.said") == []


async def test_an_operator_in_public_has_no_effect_with_pgvector_in_its_own_schema(
    database_dsn: str, mallory: str
) -> None:
    run(database_dsn, "GRANT CREATE ON SCHEMA public TO PUBLIC")
    run(make_conninfo(database_dsn, user=mallory), OPERATOR)
    assert await searched(database_dsn) == ["colored box"]
    assert run(database_dsn, "SELECT * FROM public.said") == []
    # The operator works: a session with `public` in its path would run it with its own rights.
    run(database_dsn, "SET search_path = sightline, public", "SELECT 1.5::float8 + 1")
    assert run(database_dsn, "SELECT * FROM public.said") == [("sightline", "sightline")]
    run(database_dsn, f"DROP OWNED BY {mallory} CASCADE")


@pytest.mark.parametrize("schema", ["pg_catalog", "sightline", "analytics", "sightline_vector"])
@pytest.mark.parametrize(
    ("change", "fix"),
    [
        ("GRANT CREATE ON SCHEMA {} TO PUBLIC", "REVOKE CREATE ON SCHEMA {} FROM PUBLIC"),
        ("GRANT CREATE ON SCHEMA {} TO mallory", "REVOKE CREATE ON SCHEMA {} FROM mallory"),
        ("ALTER SCHEMA {} OWNER TO mallory", "ALTER SCHEMA {} OWNER TO sightline"),
    ],
)
async def test_the_error_names_schema_grantee_and_a_command_that_helps(
    database_dsn: str, mallory: str, schema: str, change: str, fix: str
) -> None:
    run(database_dsn, change.format(schema))
    command = fix.format(schema)
    with pytest.raises(SchemaError) as raised:
        await Database.open(database_dsn)
    assert command in str(raised.value)
    with pytest.raises(SchemaError, match=schema):
        schema_migration.upgrade(database_dsn)
    with pytest.raises(SchemaError, match=schema):
        await grant_analyst(database_dsn, "erin")
    run(database_dsn, command)
    await (await Database.open(database_dsn)).close()


async def test_rights_through_another_role_count(database_dsn: str, mallory: str) -> None:
    run(database_dsn, "CREATE ROLE team", f"GRANT team TO {mallory}, sightline")
    run(database_dsn, "GRANT CREATE ON SCHEMA analytics TO team")
    try:
        with pytest.raises(SchemaError, match="REVOKE CREATE ON SCHEMA analytics FROM team"):
            await Database.open(database_dsn)
    finally:
        run(database_dsn, "DROP OWNED BY team", "DROP ROLE team")


@pytest.mark.parametrize("schema", ["sightline", "sightline_vector"])
def test_a_migration_refuses_a_schema_that_somebody_prepared(
    empty_dsn: str, mallory: str, schema: str
) -> None:
    run(empty_dsn, f"CREATE SCHEMA {schema} AUTHORIZATION {mallory}")
    with pytest.raises(SchemaError, match=f"mallory owns the schema {schema}"):
        schema_migration.upgrade(empty_dsn)
    run(empty_dsn, f"DROP OWNED BY {mallory}")
    schema_migration.upgrade(empty_dsn)


async def test_doctor_reports_an_unsafe_schema(in_public: str, tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, database__url=in_public)
    found = [
        each
        async for each in diagnose(settings)
        if each.status == "error" and each.subject.startswith("database")
    ]
    assert "REVOKE CREATE ON SCHEMA public FROM PUBLIC" in found[0].message


async def test_a_trusted_owner_of_the_schema_is_accepted(empty_dsn: str, mallory: str) -> None:
    """Who owns the tables, or the database, is not an attacker."""
    run(
        empty_dsn,
        f"CREATE SCHEMA sightline AUTHORIZATION {mallory}",
        f"CREATE SCHEMA analytics AUTHORIZATION {mallory}",
        "CREATE EXTENSION vector WITH SCHEMA public",
        f"ALTER DATABASE {psycopg.conninfo.conninfo_to_dict(empty_dsn)['dbname']} "
        f"OWNER TO {mallory}",
    )
    own = make_conninfo(empty_dsn, user=mallory)
    schema_migration.upgrade(own)
    await (await Database.open(own)).close()
    run(empty_dsn, "REASSIGN OWNED BY mallory TO sightline")


async def test_an_analyst_can_create_nothing_in_the_schemas_of_the_server(
    database_dsn: str,
) -> None:
    dsn = await grant_analyst(database_dsn, "erin")
    try:
        with psycopg.connect(dsn, autocommit=True) as session:
            session.execute("SET default_transaction_read_only = off")
            (path,) = session.execute("SHOW search_path").fetchone() or ("",)
            for schema in ("sightline", "analytics", "sightline_vector", "public"):
                statement = sql.SQL("CREATE TABLE {}.t ()").format(sql.Identifier(schema))
                with pytest.raises(errors.InsufficientPrivilege):
                    session.execute(statement)
        assert path.startswith("analytics, sightline_vector")
        assert "public" not in path
    finally:
        await revoke_analyst(database_dsn, "erin")


def test_every_connection_of_the_server_has_a_safe_search_path() -> None:
    """A session starts with `public` in its path, so only these modules may open one."""
    allowed = {
        "storage/db/connect.py",
        "storage/analytics/export/export_source.py",
        "storage/analytics/sql_runner.py",  # with the rights of an analyst
        "storage/postgres/dumps.py",  # asks for the version only
        "storage/postgres/embedded_postgres.py",  # the maintenance database, without logins
    }
    opening = set()
    for package in ("storage", "server", "tools", "migrations"):
        for path in (ROOT / package).rglob("*.py"):
            calls = (n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call))
            if {ast.unparse(call.func) for call in calls} & {
                "psycopg.connect",
                "AsyncConnection.connect",
                "psycopg.AsyncConnection.connect",
                "psycopg.Connection.connect",
            }:
                opening.add(path.relative_to(ROOT).as_posix())
    assert opening <= allowed
