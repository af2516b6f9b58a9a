"""Two collections of pictures that share a space, with annotations and searches."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from psycopg.conninfo import make_conninfo
from psycopg.types.json import Jsonb

from sightline.storage.analytics.analyst_roles import QUERY_ROLE, ensure_query_role
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.pool import Database
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from tests.support.database_rows import add_asset, add_passage, add_source, add_vector

DIMENSION = 8
IDENTITY = EncoderIdentity("test-encoder", "0" * 16, "0" * 16, DIMENSION)


def asset_id(collection: str, number: int) -> str:
    return f"{collection[:5]}{number:07d}"


async def fill(database: Database) -> None:
    """Thirty pictures in "album" and twenty in "other": the first five of both are the same."""
    rng = np.random.default_rng(3)
    async with database.connection() as connection:
        space = await embedding_spaces.get_or_create(connection, IDENTITY, "asset")
        vectors = rng.normal(size=(50, DIMENSION)).astype(np.float32)
        vectors[30:35] = vectors[:5]
        vectors[5:30] += 4  # to one side, so that 29 can be far out
        vectors[29] = -vectors[5:29].mean(axis=0)
        place = 0
        for name, count in (("album", 30), ("other", 20)):
            made = await collections.ensure(connection, name)
            await embedding_spaces.assign(connection, made.id, space)
            for number in range(count):
                id_ = asset_id(name, number)
                source = await add_source(connection, made, f"{id_}.jpg")
                await add_asset(
                    connection,
                    made,
                    id_,
                    source_id=source,
                    metadata={"product": "Garlic" if number % 5 else "Onion"},
                    caption=f"picture {number}",
                )
                await connection.execute(
                    "UPDATE asset SET captured_at = %s WHERE id = %s",
                    [datetime(2026, 1 if number < 10 else 2, 15, tzinfo=UTC), id_],
                )
                await add_passage(connection, made, source, f"picture {number}", id_)
                if number != 19:
                    await add_vector(connection, made, space, vectors[place].tolist(), id_)
                place += 1
        await _annotate(connection)
        await connection.execute(
            "INSERT INTO retrieval_log (tool, collection, query, timings_ms, total_ms, "
            "result_count) SELECT 'search_images', 'album', q, %s, ms, n "
            "FROM (VALUES ('a red van', 12.0, 5), ('a unicorn', 30.0, 0)) AS t (q, ms, n)",
            [Jsonb({"encode": 3.5})],
        )


async def _annotate(connection: object) -> None:
    rows = [
        (asset_id("album", 0), "van", 0.1, 0.1, 0.5, 0.5, "person", None),
        (asset_id("album", 0), "car", 0.1, 0.1, 0.5, 0.5, "model", "finder"),
        (asset_id("album", 1), "van", 0.0, 0.0, 0.4, 0.4, "person", None),
        (asset_id("album", 1), "van", 0.2, 0.0, 0.6, 0.4, "model", "finder"),
        (asset_id("album", 2), "van", 0.0, 0.0, 0.1, 0.1, "person", None),
        (asset_id("album", 2), "van", 0.5, 0.5, 0.6, 0.6, "model", "finder"),
    ]
    for row in rows:
        await connection.execute(  # type: ignore[attr-defined]
            "INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin, model) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            row,
        )


@pytest.fixture
async def filled(database: Database) -> Database:
    await fill(database)
    async with database.connection() as connection:
        await ensure_query_role(connection)
    return database


@pytest.fixture
def runner(filled: Database) -> SqlRunner:
    """What the tool asks through: the login that may only read."""
    return SqlRunner(
        make_conninfo(filled.dsn, user=QUERY_ROLE),
        timeout_seconds=60,
        max_rows=1000,
        max_bytes=100_000,
    )
