"""Tests of a database that a role without superuser rights owns, as on managed services."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from sightline.server.cli import main
from sightline.server.cli.admin import doctor
from sightline.server.database import instance_backup, schema_migration
from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.errors import NotAllowedError, StorageError, UnknownNameError
from sightline.storage.isolation.caller import as_principal
from sightline.storage.maintenance import dump_restore
from sightline.storage.postgres import EmbeddedPostgres, dumps
from tests.support.ordinary_role import create_owned_database
from tests.support.settings import make_settings

_names = (f"owned_{number}" for number in itertools.count())


@pytest.fixture(scope="module")
def administrator() -> Iterator[str]:
    """Return the DSN of the superuser of a server without roles of Sightline."""
    with (
        tempfile.TemporaryDirectory(prefix="sightline-tests-") as folder,
        EmbeddedPostgres(Path(folder), durable=False) as server,
    ):
        dsn = server.dsn("postgres")
        with psycopg.connect(dsn, autocommit=True) as connection:
            connection.execute("CREATE ROLE creator LOGIN CREATEROLE")
            connection.execute("CREATE ROLE plain LOGIN")
            connection.execute("CREATE ROLE bystander LOGIN")
        yield dsn


def create_database(administrator: str, owner: str) -> str:
    """Create a database with pgvector that the role owns; return the owner's DSN."""
    return create_owned_database(administrator, next(_names), owner)


@pytest.fixture(scope="module")
def created(administrator: str) -> str:
    """Return the DSN of a migrated database of a role that may create roles."""
    dsn = create_database(administrator, "creator")
    schema_migration.upgrade(dsn)
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO sightline.collection (name) VALUES ('seen'), ('hidden')")
    return dsn


async def test_the_creator_of_roles_binds_principals(created: str) -> None:
    database = await Database.open(created)
    try:
        async with database.connection() as connection:
            assert await row_security.missing_roles(connection) is None
            await row_security.bind(connection, "alice", ["seen"])
        with as_principal("alice"):
            async with database.connection() as connection:
                cursor = await connection.execute("SELECT name FROM collection")
                assert await cursor.fetchall() == [("seen",)]
    finally:
        await database.close()


async def test_the_creator_of_roles_grants_and_revokes_logins_of_analysts(created: str) -> None:
    login = await grant_analyst(created, "ana", collections=["seen"])
    with psycopg.connect(login) as connection:
        cursor = connection.execute("SELECT current_user, count(*) FROM analytics.assets")
        assert cursor.fetchone() == ("ana", 0)
    # It administers the role of analysts, but is none.
    with pytest.raises(NotAllowedError, match="'creator' exists and is not an analyst"):
        await revoke_analyst(created, "creator")
    with psycopg.connect(login) as connection:
        await revoke_analyst(created, "ana")
        with pytest.raises(psycopg.OperationalError, match="terminat"):
            connection.execute("SELECT 1")
    with pytest.raises(UnknownNameError):
        await revoke_analyst(created, "ana")


def test_the_creator_of_roles_restores_a_backup(
    created: str, administrator: str, tmp_path: Path
) -> None:
    source = make_settings(tmp_path / "one", database__url=created)
    manifest = instance_backup.write(source, tmp_path / "a.backup")
    dsn = create_database(administrator, "creator")
    target = make_settings(tmp_path / "two", database__url=dsn)
    assert instance_backup.restore(target, tmp_path / "a.backup") == manifest
    instance_backup.restore(target, tmp_path / "a.backup", replace=True)
    with psycopg.connect(dsn) as connection:
        assert row_security.missing_roles_sync(connection) is None
        owners = connection.execute(
            "SELECT DISTINCT relowner::regrole::text FROM pg_class "
            "WHERE relnamespace = 'sightline'::regnamespace AND relkind = 'r'"
        ).fetchall()
    assert owners == [("creator",)]


def test_the_reason_of_a_failed_restore_is_told(created: str, tmp_path: Path) -> None:
    dumps.dump(created, ["sightline", "analytics"], tmp_path / "dump")
    with pytest.raises(StorageError, match='cannot be restored: schema "analytics" already exists'):
        dump_restore.restore(created, tmp_path / "dump")
    (tmp_path / "dump").write_bytes(b"PGDMP and no more")
    with pytest.raises(StorageError, match="pg_restore failed: pg_restore: error: "):
        dump_restore.restore(created, tmp_path / "dump")


def test_missing_roles_are_named_before_a_principal_calls(
    created: str,
    administrator: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The owner may not create roles, and is no member of those that exist."""
    dsn = create_database(administrator, "plain")
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIGHTLINE_DATABASE__URL", dsn)
    reason = "plain may not act as sightline_principal"
    remedy = "must run in this database: SELECT sightline.ensure_roles()"
    assert main(["migrate"]) == 0
    warning = capsys.readouterr().err
    assert reason in warning
    assert remedy in warning
    with psycopg.connect(dsn) as connection:
        connection.execute("INSERT INTO sightline.collection (name) VALUES ('album')")
    assert main(["bind", "alice", "--collections", "album"]) == 2
    refusal = capsys.readouterr()
    assert reason in refusal.err
    assert "alice" not in refusal.out
    instance_backup.write(make_settings(tmp_path, database__url=created), tmp_path / "a.backup")
    assert main(["restore", str(tmp_path / "a.backup"), "--replace"]) == 2
    assert reason in capsys.readouterr().err

    owner = make_conninfo(dsn, user=conninfo_to_dict(administrator)["user"])
    with psycopg.connect(owner) as connection:
        connection.execute("SELECT sightline.ensure_roles()")
    assert main(["migrate"]) == 0
    assert main(["bind", "alice", "--collections", "album"]) == 0
    done = capsys.readouterr()
    assert reason not in done.err
    assert "alice: album" in done.out
    # Its dump is restored without the right to create roles.
    assert main(["restore", str(tmp_path / "a.backup"), "--replace"]) == 0


@pytest.mark.usefixtures("created")
async def test_the_doctor_names_missing_roles(administrator: str) -> None:
    dsn = create_database(administrator, "bystander")
    schema_migration.upgrade(dsn)
    database = await Database.open(dsn)
    try:
        async with database.connection() as connection:
            (found,) = [each async for each in doctor.check_roles(connection)]
            assert (found.status, found.subject) == ("note", "roles")
            await connection.execute("INSERT INTO principal (name) VALUES ('alice')")
            (found,) = [each async for each in doctor.check_roles(connection)]
            assert found.status == "error"
            assert "bystander may not act as sightline_principal" in found.message
    finally:
        await database.close()
