"""Embedding spaces that no collection uses change no default of an analyst."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace

import psycopg
import pytest

from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.db.pool import Database
from sightline.storage.records import collections, embedding_spaces
from tests.storage.analytics.conftest import IDENTITY, asset_id

DEFAULTS = (
    "SELECT count(*) FROM duplicates(0.02)",
    "SELECT count(*) FROM outliers(3)",
    "SELECT count(*) FROM coverage()",
    "SELECT count(*) FROM centroid()",
    "SELECT count(*) FROM drift('[2026-01-01,2026-02-01)', '[2026-02-01,2026-03-01)')",
    f"SELECT count(*) FROM nearest('{asset_id('album', 1)}')",
    "SELECT count(*) FROM search((SELECT centroid FROM centroid()), 3)",
)


@pytest.fixture
async def alice(filled: Database) -> AsyncIterator[str]:
    """An analyst of ``album``. One space is unused, and ``other`` keeps another."""
    async with filled.connection() as connection:
        for name in ("unused", "kept"):
            identity = replace(IDENTITY, name=name)
            space = await embedding_spaces.get_or_create(connection, identity, "asset")
        other = await collections.get(connection, "other")
        await connection.execute(
            "INSERT INTO kept_embedding_space (collection_id, level, role, embedding_space_id) "
            "VALUES (%s, 'asset', 'next', %s)",
            [other.id, space.id],
        )
    yield await grant_analyst(filled.dsn, "alice", collections=["album"])
    await revoke_analyst(filled.dsn, "alice")


async def test_functions_without_a_space_take_the_one_that_is_used(
    alice: str, filled: Database
) -> None:
    async with filled.connection() as connection:
        await connection.execute("SET LOCAL search_path = analytics, sightline_vector, pg_catalog")
        for query in DEFAULTS:
            rows = await (await connection.execute(query.encode())).fetchall()
            assert rows[0][0] > 0, query


async def test_an_analyst_sees_no_space_that_only_others_keep(alice: str) -> None:
    with psycopg.connect(alice, autocommit=True) as session:
        query = "SELECT DISTINCT encoder FROM analytics.embedding_spaces"
        assert session.execute(query).fetchall() == [("test-encoder",)]
        for query in DEFAULTS:
            assert session.execute(query.encode()).fetchall(), query
