"""Ids tell nothing about the rows of others (finding 22)."""

from __future__ import annotations

import asyncio
import hashlib
from itertools import pairwise
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg import errors

from sightline.server.database import schema_migration
from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.blobs import BlobStore
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_values
from sightline.storage.errors import StorageError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.stage_types import asset_id
from sightline.storage.isolation.caller import as_principal
from sightline.storage.records import annotations, collections
from sightline.storage.records.annotations import NewAnnotation
from tests.support.database_rows import add_asset
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import fill

SEQUENCES = ("source", "region", "passage", "annotation", "retrieval_log")
ENCODER = ColorHistogramEncoder()
ALICE, BOB = "a" * 12, "b" * 12
#: Ids of one caller would be this close if they counted the rows between them.
NEAR = 1_000_000


@pytest.fixture
async def shared(database: Database) -> Database:
    """A database in which alice and bob have one asset each."""
    async with database.connection() as connection:
        for name, asset in (("alice", ALICE), ("bob", BOB)):
            own = await collections.ensure(connection, name)
            await add_asset(connection, own, asset)
            await row_security.bind(connection, name, [name])
    return database


async def annotate(database: Database, principal: str, asset: str, labels: list[str]) -> list[int]:
    new = [NewAnnotation(label=label, box=(0, 0, 1, 1), origin="person") for label in labels]
    with as_principal(principal):
        async with database.connection() as connection:
            return await annotations.save(connection, asset, new)


def distances(ids: list[int]) -> list[int]:
    ordered = sorted(ids)
    return [later - earlier for earlier, later in pairwise(ordered)]


async def test_annotations_of_a_principal_do_not_count_those_of_another(shared: Database) -> None:
    ids = await annotate(shared, "alice", ALICE, ["one"])
    others = await annotate(shared, "bob", BOB, ["x", "y", "z"])
    ids += await annotate(shared, "alice", ALICE, ["two", "three"])
    assert min(distances(ids + others)) > NEAR
    assert all(0 <= each < 2**53 for each in ids + others)


async def test_sources_passages_and_regions_of_an_ingest_do_not_count_those_of_another(
    shared: Database, tmp_path: Path
) -> None:
    async def add(name: str, number: int) -> None:
        folder = tmp_path / f"{name}{number}"
        folder.mkdir()
        (folder / "a.txt").write_text(f"text {number} of {name}\n\n" * 3)
        await ingest(
            shared,
            BlobStore(tmp_path / "data"),
            ENCODER,
            [folder],
            collection=name,
            options=IngestOptions(workers=1),
        )

    await add("alice", 1)
    await add("bob", 1)
    await add("alice", 2)
    async with shared.connection() as connection:
        for table in ("source", "passage"):
            query = (
                f"SELECT min(t.id) FROM {table} AS t JOIN collection AS c "
                "ON c.id = t.collection_id AND c.name = 'alice' "
                f"GROUP BY t.{'id' if table == 'source' else 'source_id'}"
            )
            ids = await fetch_values(connection, query.encode())
            assert len(ids) >= 2
            assert min(distances(ids)) > NEAR


async def test_searches_do_not_count_those_of_others(database: Database) -> None:
    async with database.connection() as connection:
        ids = await fetch_values(
            connection,
            b"INSERT INTO retrieval_log (tool, total_ms, result_count) "
            b"SELECT 'search_images', 1, 0 FROM generate_series(1, 3) RETURNING id",
        )
    assert min(distances(ids)) > NEAR


async def test_another_installation_has_other_ids(database: Database, empty_dsn: str) -> None:
    schema_migration.upgrade(empty_dsn)
    query = b"SELECT sightline.new_id(name) FROM unnest(%s::text[]) AS name"
    other = await Database.open(empty_dsn)
    async with database.connection() as one, other.connection() as two:
        names = [["source", "annotation", "retrieval_log"]]
        ids = await fetch_values(one, query, names) + await fetch_values(two, query, names)
    await other.close()
    assert len(set(ids)) == 6  # the first of each table


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(bits=st.integers(2, 11), key=st.binary(min_size=1, max_size=40))
def test_the_permutation_is_bijective(database_dsn: str, bits: int, key: bytes) -> None:
    with psycopg.connect(database_dsn) as connection:
        rows = connection.execute(
            "SELECT sightline.permute(number, %s, %b) FROM generate_series(0, %s) AS number",
            [bits, key, 2**bits - 1],
        ).fetchall()
    assert sorted(number for (number,) in rows) == list(range(2**bits))


@pytest.mark.parametrize("bits", [37, 53])
def test_permuted_numbers_stay_in_their_range_and_differ(database_dsn: str, bits: int) -> None:
    with psycopg.connect(database_dsn) as connection:
        numbers = [
            row[0]
            for row in connection.execute(
                "SELECT sightline.permute(number, %s, 'key') FROM ("
                "  SELECT generate_series(0, 999) AS number"
                "  UNION ALL SELECT %s - generate_series(0, 999)) AS t",
                [bits, 2**bits - 1],
            ).fetchall()
        ]
    assert len(set(numbers)) == 2000
    assert 0 <= min(numbers) < 2 ** (bits - 6)
    assert 2**bits - 2 ** (bits - 6) < max(numbers) < 2**bits


async def test_a_load_gets_blocks_of_adjacent_ids(database: Database) -> None:
    async with database.connection() as connection:
        ids = await fetch_values(connection, b"SELECT sightline.new_ids('passage', 70000)")
        assert await fetch_values(connection, b"SELECT sightline.new_ids('passage', 0)") == []
    assert len(set(ids)) == 70000
    first, second = ids[:65536], ids[65536:]
    assert first == list(range(first[0], first[0] + 65536))
    assert second == list(range(second[0], second[0] + 70000 - 65536))
    assert first[0] % 65536 == second[0] % 65536 == 0
    assert max(ids) < 2**53


async def test_the_id_of_an_asset_cannot_be_computed_from_its_file(
    database: Database, tmp_path: Path
) -> None:
    """Otherwise whoever has a file could find out whether another principal has it."""
    folder = tmp_path / "images"
    names = fill(folder, 2)
    sums = [hashlib.sha256(path.read_bytes()).digest() for path in names]

    async def ids_after_ingest() -> set[str]:
        blobs, options = BlobStore(tmp_path / "data"), IngestOptions(workers=1)
        await ingest(database, blobs, ENCODER, [folder], collection="bob", options=options)
        async with database.connection() as connection:
            return set(await fetch_values(connection, b"SELECT id FROM sightline.asset"))

    first = await ids_after_ingest()
    async with database.connection() as connection:
        (key,) = await fetch_values(connection, b"SELECT key FROM sightline.id_key")
        await connection.execute("DELETE FROM sightline.source")
    assert first == {asset_id(key, "bob", each, "image", 0) for each in sums}
    assert await ids_after_ingest() == first
    async with database.connection() as connection:
        await connection.execute("DELETE FROM sightline.source")
        await connection.execute("UPDATE sightline.id_key SET key = sha256(key)")
    assert not await ids_after_ingest() & first


async def test_concurrent_loads_get_different_ids(database: Database) -> None:
    async def load() -> list[int]:
        async with database.connection() as connection:
            return await fetch_values(connection, b"SELECT sightline.new_ids('region', 100)")

    loaded = [each for ids in await asyncio.gather(*(load() for _ in range(8))) for each in ids]
    assert len(set(loaded)) == 800


async def test_the_key_and_the_counters_are_unreadable(shared: Database) -> None:
    dsn = await grant_analyst(shared.dsn, "erin")
    async with shared.connection() as connection:  # as on an external Postgres
        await connection.execute(
            "GRANT EXECUTE ON FUNCTION pg_sequence_last_value(regclass) TO PUBLIC"
        )
    reads = [
        "SELECT key FROM sightline.id_key",
        "SELECT sightline.permute(1, 53, 'x')",
        "SELECT sightline.new_ids('passage', 1)",
        *(
            statement.format(name)
            for name in SEQUENCES
            for statement in (
                "SELECT last_value FROM sightline.{}_number",
                "SELECT nextval('sightline.{}_number')",
                "SELECT currval('sightline.{}_number')",
                "SELECT setval('sightline.{}_number', 1)",
            )
        ),
    ]
    try:
        with psycopg.connect(dsn, autocommit=True) as session:
            session.execute("SET default_transaction_read_only = off")
            for read in [*reads, "SELECT sightline.new_id('annotation')"]:
                with pytest.raises(errors.InsufficientPrivilege):
                    session.execute(read.encode())
            query = "SELECT DISTINCT last_value FROM pg_sequences WHERE schemaname = 'sightline'"
            assert session.execute(query).fetchall() == [(None,)]
    finally:
        await revoke_analyst(shared.dsn, "erin")
    with as_principal("alice"):
        for read in reads:
            with pytest.raises(StorageError, match="permission denied"):
                async with shared.connection() as connection:
                    await connection.execute(read.encode())


async def test_a_principal_cannot_choose_an_id(shared: Database) -> None:
    """The conflict would tell that another has it."""
    (taken,) = await annotate(shared, "bob", BOB, ["x"])
    inserts = (
        f"""INSERT INTO annotation (id, asset_id, label, x0, y0, x1, y1, origin)
        VALUES ({taken}, '{ALICE}', 'x', 0, 0, 1, 1, 'person')""",
        f"UPDATE annotation SET id = {taken}",
        f"""INSERT INTO retrieval_log (id, principal, tool, total_ms, result_count)
        VALUES ({taken}, 'alice', 'search_images', 1, 0)""",
    )
    for insert in inserts:
        with (
            as_principal("alice"),
            pytest.raises(StorageError, match="permission denied"),
        ):
            async with shared.connection() as connection:
                await connection.execute(insert.encode())


async def test_annotations_have_the_order_of_their_creation(shared: Database) -> None:
    labels = [f"label {number}" for number in range(20)]
    await annotate(shared, "alice", ALICE, labels[:12])
    await annotate(shared, "alice", ALICE, labels[12:])
    async with shared.connection() as connection:
        listed = await annotations.list_by_asset(connection, [ALICE])
    assert [each.label for each in listed[ALICE]] == labels
