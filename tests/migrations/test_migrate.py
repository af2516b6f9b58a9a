from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from sightline.server.database import schema_migration
from sightline.storage.db.pool import Database
from sightline.storage.errors import DatabaseUnavailableError, SchemaError
from sightline.storage.postgres import EmbeddedPostgres


def run(dsn: str, *statements: bytes) -> list[tuple[object, ...]]:
    """Execute statements; return the rows of the last one."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def objects(dsn: str) -> list[tuple[object, ...]]:
    """Return all objects of both schemas except the tables of versions and locks."""
    return run(
        dsn,
        b"SELECT relname::text FROM pg_class WHERE relnamespace = 'sightline'::regnamespace "
        b"AND relname NOT LIKE 'schema_version%' AND relname NOT LIKE 'lock%' "
        b"UNION SELECT relname FROM pg_class WHERE relnamespace = 'analytics'::regnamespace "
        b"UNION SELECT proname FROM pg_proc WHERE pronamespace IN "
        b"('sightline'::regnamespace, 'analytics'::regnamespace) ORDER BY 1",
    )


def test_schema_goes_up_and_down_and_up_again(empty_dsn: str) -> None:
    assert schema_migration.current(empty_dsn) is None
    schema_migration.upgrade(empty_dsn)
    assert schema_migration.current(empty_dsn) == schema_migration.head()
    created = objects(empty_dsn)
    assert ("embedding",) in created
    schema_migration.downgrade(empty_dsn, "base")
    assert schema_migration.current(empty_dsn) is None
    assert objects(empty_dsn) == []
    schema_migration.upgrade(empty_dsn)
    assert objects(empty_dsn) == created


def test_schema_goes_down_with_data_and_partitions(database_dsn: str) -> None:
    run(
        database_dsn,
        b"CREATE TABLE sightline.embedding_1 PARTITION OF sightline.embedding FOR VALUES IN (1)",
        b"INSERT INTO sightline.collection (name) VALUES ('album')",
    )
    schema_migration.downgrade(database_dsn, "base")
    assert objects(database_dsn) == []


def test_an_upgrade_at_head_changes_nothing(database_dsn: str) -> None:
    before = objects(database_dsn)
    schema_migration.upgrade(database_dsn)
    assert objects(database_dsn) == before
    schema_migration.require_head(database_dsn)


def test_concurrent_threads_can_migrate(empty_dsn: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(schema_migration.upgrade, empty_dsn) for _ in range(4)]:
            done.result()
    assert schema_migration.current(empty_dsn) == schema_migration.head()


def test_concurrent_processes_can_migrate(empty_dsn: str) -> None:
    code = (
        "import sys; from sightline.server.database import schema_migration; "
        "schema_migration.upgrade(sys.argv[1])"
    )
    processes = [
        subprocess.Popen([sys.executable, "-c", code, empty_dsn], stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    errors = [process.communicate()[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * 4, errors
    schema_migration.require_head(empty_dsn)


def test_an_outdated_schema_error_names_the_command(empty_dsn: str) -> None:
    with pytest.raises(
        SchemaError,
        match=rf"at nothing,? .* needs {schema_migration.head()}; run: sightline migrate",
    ):
        schema_migration.require_head(empty_dsn)


def test_a_schema_of_a_newer_version_is_not_changed(database_dsn: str) -> None:
    run(database_dsn, b"UPDATE sightline.schema_version SET version_num = '9999'")
    for act in (schema_migration.require_head, schema_migration.upgrade):
        with pytest.raises(SchemaError, match=r"at 9999, .* use the newer version"):
            act(database_dsn)


def test_an_unreachable_database_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DatabaseUnavailableError, match="cannot be reached"):
        schema_migration.upgrade(f"host={tmp_path} dbname=x")


def test_an_old_pgvector_error_names_the_required_version(empty_dsn: str) -> None:
    run(
        empty_dsn,
        b"CREATE EXTENSION vector",
        b"UPDATE pg_extension SET extversion = '0.7.4' WHERE extname = 'vector'",
    )
    with pytest.raises(SchemaError, match=r"pgvector is 0\.7\.4 .* needs 0\.8 or newer"):
        schema_migration.upgrade(empty_dsn)


async def test_pgvector_can_be_in_its_own_schema(empty_dsn: str) -> None:
    run(empty_dsn, b'CREATE SCHEMA "Ext"', b'CREATE EXTENSION vector WITH SCHEMA "Ext"')
    schema_migration.upgrade(empty_dsn)
    database = await Database.open(empty_dsn)
    async with database.connection() as connection:
        cursor = await connection.execute("SELECT '[1,2]'::halfvec <=> '[1,2]'::halfvec")
        assert await cursor.fetchone() == (0,)
    await database.close()


@pytest.fixture
def guest_dsn(postgres_dsn: str, empty_dsn: str) -> Iterator[str]:
    """Return the DSN of a role that owns nothing in the database."""
    run(postgres_dsn, b"CREATE ROLE guest LOGIN")
    yield make_conninfo(empty_dsn, user="guest")
    with psycopg.connect(empty_dsn, autocommit=True) as connection:
        connection.execute("DROP OWNED BY guest CASCADE")
        connection.execute("DROP ROLE guest")


def test_missing_rights_for_pgvector_are_explained(guest_dsn: str, empty_dsn: str) -> None:
    run(empty_dsn, b"CREATE SCHEMA sightline AUTHORIZATION guest")
    with pytest.raises(SchemaError, match=r"'guest' may not install pgvector .* CREATE EXTENSION"):
        schema_migration.upgrade(guest_dsn)


def test_missing_rights_for_the_schema_are_explained(guest_dsn: str, empty_dsn: str) -> None:
    run(empty_dsn, b"CREATE EXTENSION vector")
    with pytest.raises(SchemaError, match=r"'guest' may not create the schema .* AUTHORIZATION"):
        schema_migration.upgrade(guest_dsn)


async def test_a_role_without_superuser_rights_can_use_its_schema(
    guest_dsn: str, empty_dsn: str
) -> None:
    run(
        empty_dsn,
        b"CREATE EXTENSION vector",
        b"CREATE SCHEMA sightline AUTHORIZATION guest",
        b"CREATE SCHEMA analytics AUTHORIZATION guest",
    )
    schema_migration.upgrade(guest_dsn)
    database = await Database.open(guest_dsn)
    async with database.connection() as connection:
        await connection.execute("INSERT INTO collection (name) VALUES ('album')")
    await database.close()


def test_the_server_fixture_runs_the_embedded_version(postgres_server: EmbeddedPostgres) -> None:
    ((version,),) = run(postgres_server.dsn("postgres"), b"SHOW server_version_num")
    assert int(str(version)) >= 180000


def test_each_version_has_exactly_two_sql_files() -> None:
    versions = Path(__file__).parents[2] / "migrations" / "versions"
    stems = {path.stem for path in versions.glob("0*.py")}
    scripts = {path.name for path in versions.glob("*.sql")}
    assert scripts == {f"{stem}.{way}.sql" for stem in stems for way in ("up", "down")}


def test_the_alembic_command_uses_the_same_versions(empty_dsn: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "SIGHTLINE_DATABASE__URL": empty_dsn},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    schema_migration.require_head(empty_dsn)
