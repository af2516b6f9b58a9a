"""How many statements and connections a search takes: each costs a round trip."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from PIL import Image
from psycopg import AsyncCursor
from psycopg.rows import TupleRow

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest
from tests.storage.test_picture_hashes import scene
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder


class CountingDatabase(Database):
    """A database that counts statements and connections."""

    statements = 0
    connections = 0

    @asynccontextmanager
    async def connection(self, *, autocommit: bool = False) -> AsyncIterator[Connection]:
        counts = self

        class Cursor(AsyncCursor[TupleRow]):
            async def execute(self, *args: Any, **options: Any) -> Any:
                counts.statements += 1
                return await super().execute(*args, **options)

        self.connections += 1
        async with super().connection(autocommit=autocommit) as connection:
            before, connection.cursor_factory = connection.cursor_factory, Cursor
            try:
                yield connection
            finally:
                connection.cursor_factory = before


async def test_a_search_takes_few_statements_and_connections(
    database_dsn: str, encoder: ColorHistogramEncoder
) -> None:
    database = await CountingDatabase.open(database_dsn)
    corpus = Corpus(database, encoder)
    for seed in range(30):
        await corpus.add(f"scene{seed}", picture=scene(seed), caption=f"scene {seed} by day")
    await corpus.measure_reliability()
    images = ImageSearch(database, encoder, encoder, signing_key=b"key")
    passages = PassageSearch(database, encoder, signing_key=b"key")

    async def count(search: Any, request: object) -> tuple[int, int]:
        await search.search(request)  # fills the caches of the process
        database.statements = database.connections = 0
        assert (await search.search(request)).hits
        return database.statements, database.connections

    # Scope, vectors, number of texts, words, near-duplicates, assets, passages, log.
    assert await count(images, ImageRequest(query="scene 7")) == (8, 5)
    # Scope, vectors, copies, near-duplicates, assets, log.
    assert await count(images, ImageRequest(image=scene(7))) == (6, 5)
    # No look-up of copies: without local hashes, only a near-identical vector confirms one.
    gradient = Image.linear_gradient("L").convert("RGB")
    assert await count(images, ImageRequest(image=gradient)) == (5, 4)
    # Scope, vectors, number of texts, words, passages, assets, log.
    assert await count(passages, PassageRequest(query="scene 7")) == (7, 5)
    # Scope, near-duplicates, the list and its length, assets, log.
    assert await count(images, ImageRequest()) == (6, 2)
    await database.close()
