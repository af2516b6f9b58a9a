"""The rule that judges pairs of pictures, and the pairs that an ingest stores."""

from __future__ import annotations

import asyncio

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.records.picture_pairs import (
    MAX_DUPLICATES,
    are_near_duplicates,
    confirms,
    store_pairs,
)
from tests.security.test_database_locks import until
from tests.storage.retrieval.retrievers.test_copy_retriever import add
from tests.storage.test_picture_hashes import scene
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder


def test_local_hashes_confirm_a_copy_and_vectors_one_with_little_structure() -> None:
    assert confirms(6, 10, 40, 0.2)
    assert not confirms(6, 9, 40, 1.0)
    assert confirms(12, 4, 40, 0.2)
    assert not confirms(12, 3, 40, 1.0)
    assert confirms(6, 0, 7, 0.98)
    assert not confirms(0, 7, 7, 0.9)


@pytest.mark.parametrize(
    ("bits", "matches", "spots", "cosine", "expected"),
    [
        (3, 30, 40, 0.4, True),  # gray or turned: another vector
        (3, 5, 40, 1.0, False),  # another drawing of the same layout
        (9, 30, 40, 0.95, True),  # slightly cut
        (9, 30, 40, 0.5, False),
        (2, 0, 3, 0.99, True),  # too plain for local hashes
        (2, 0, 3, 0.5, False),
        (9, 3, 3, 0.99, False),
    ],
)
def test_local_hashes_and_vectors_decide(
    bits: int, matches: int, spots: int, cosine: float, expected: bool
) -> None:
    assert are_near_duplicates(bits, matches, spots, cosine) is expected


async def pairs(connection: Connection, name: str) -> set[str]:
    """Return the stored near-duplicates of an asset."""
    cursor = await connection.execute(
        "SELECT other_asset_id FROM picture_pair WHERE asset_id = %s", [id_of(name)]
    )
    return {other for (other,) in await cursor.fetchall()}


@pytest.fixture
def corpus(database: Database) -> Corpus:
    return Corpus(database, ColorHistogramEncoder())


async def test_copies_in_another_collection_do_not_hide_those_in_the_own(corpus: Corpus) -> None:
    await add(corpus, "own", scene(9).resize((90, 70)))
    for number in range(MAX_DUPLICATES + 2):
        await add(corpus, f"theirs{number}", scene(9), collection="secret")
    await add(corpus, "new", scene(9))
    async with corpus.database.connection() as connection:
        found = await pairs(connection, "new")
        assert id_of("new") in await pairs(connection, "own")
    assert len(found) == MAX_DUPLICATES + 1
    assert id_of("own") in found


async def test_pairs_end_with_an_asset_or_its_text(corpus: Corpus) -> None:
    for name in ("one", "other", "third"):
        await add(corpus, name, scene(9))
    async with corpus.database.connection() as connection:
        assert await pairs(connection, "one") == {id_of("other"), id_of("third")}
        await connection.execute("DELETE FROM asset WHERE id = %s", [id_of("third")])
        assert await pairs(connection, "third") == set()
        await connection.execute(
            "INSERT INTO passage (collection_id, source_id, asset_id, kind, text, tokens, "
            "token_count) SELECT collection_id, source_id, id, 'ocr', '', "
            "array_to_tsvector(ARRAY(SELECT 'word' || n FROM generate_series(1, 20) AS n)), 20 "
            "FROM asset WHERE id = %s",
            [id_of("one")],
        )
        await connection.execute("UPDATE source SET ocr_engine = 'auto: test'")
        await store_pairs(connection, [id_of("one")])
        assert await pairs(connection, "one") == set()
        assert id_of("one") not in await pairs(connection, "other")


async def test_two_writers_find_the_new_assets_of_each_other(
    corpus: Corpus, database_dsn: str
) -> None:
    """The second one compares when the first has committed."""
    await add(corpus, "first", scene(9))
    async with corpus.database.connection() as connection:
        await store_pairs(connection, [id_of("first")])
        second = asyncio.create_task(add(corpus, "second", scene(9), collection="others"))
        await until(database_dsn, "count(*) = 1")
    await second
    async with corpus.database.connection() as connection:
        assert await pairs(connection, "first") == {id_of("second")}


async def test_an_asset_that_is_being_deleted_gets_no_pair(corpus: Corpus) -> None:
    await add(corpus, "old", scene(9))
    async with corpus.database.connection() as deleting:
        await deleting.execute("DELETE FROM asset WHERE id = %s", [id_of("old")])
        await add(corpus, "new", scene(9))
    async with corpus.database.connection() as connection:
        assert await pairs(connection, "old") == set()
