"""The vocabulary of a collection forgets the words of its deleted texts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.isolation.caller import as_principal
from sightline.storage.records import collections, deleted_words
from sightline.storage.records.deleted_words import DeletedWords
from sightline.storage.records.deletion import delete_assets, delete_sources
from tests.support.database_rows import add_asset, add_passage, add_source

A, B = "a" * 12, "b" * 12


async def add_words(connection: Connection, collection_id: int) -> None:
    """Add the terms of all postings of a collection as words."""
    await connection.execute(
        "INSERT INTO vocabulary SELECT DISTINCT collection_id, term, term FROM posting "
        "JOIN passage ON passage.id = passage_id WHERE collection_id = %s",
        [collection_id],
    )


async def words(database: Database, collection: str = "album") -> set[str]:
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT word FROM vocabulary JOIN collection ON id = collection_id WHERE name = %s",
            [collection],
        )
        return {word for (word,) in await cursor.fetchall()}


@pytest.fixture
async def two_texts(database: Database) -> None:
    """A picture of an apple and one of a pear in each of two collections."""
    async with database.connection() as connection:
        for name, first in (("album", A), ("other", "c" * 12)):
            collection = await collections.ensure(connection, name)
            source = await add_source(connection, collection, "apple.jpg")
            await add_asset(connection, collection, first, source_id=source)
            await add_passage(connection, collection, source, "red apple", first)
            await add_passage(connection, collection, source, "in a basket")
            source = await add_source(connection, collection, "pear.jpg")
            await add_passage(connection, collection, source, "red pear")
            await add_words(connection, collection.id)


@pytest.mark.usefixtures("two_texts")
async def test_words_are_forgotten_with_the_last_text_that_has_them(
    database: Database, tmp_path: Path
) -> None:
    store = BlobStore(tmp_path)
    await delete_assets(database, store, [A])  # the last asset, so its source too
    assert await words(database) == {"red", "pear"}
    await delete_sources(database, store, "album", names=["pear.jpg"])
    assert await words(database) == set()
    assert await words(database, "other") == {"red", "apple", "in", "a", "basket", "pear"}


@pytest.mark.usefixtures("two_texts")
async def test_the_words_of_a_source_stay_while_it_has_another_asset(
    database: Database, tmp_path: Path
) -> None:
    async with database.connection() as connection:
        album = await collections.get(connection, "album")
        cursor = await connection.execute("SELECT source_id FROM asset WHERE id = %s", [A])
        ((source,),) = await cursor.fetchall()
        await add_asset(connection, album, B, source_id=source, kind="page", ordinal=1, page=2)
    await delete_assets(database, BlobStore(tmp_path), [A])
    assert await words(database) == {"red", "pear", "in", "a", "basket"}


@pytest.mark.usefixtures("two_texts")
async def test_a_bound_principal_forgets_only_words_of_its_collections(
    database: Database, tmp_path: Path
) -> None:
    async with database.connection() as connection:
        await row_security.bind(connection, "laptop", ["album"])
    with as_principal("laptop"):
        await delete_assets(database, BlobStore(tmp_path), [A])
    assert await words(database) == {"red", "pear"}
    assert "apple" in await words(database, "other")


@pytest.mark.usefixtures("two_texts")
async def test_a_word_of_many_postings_stays(
    database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deleted_words, "_MAX_POSTINGS", 1)
    await delete_sources(database, BlobStore(tmp_path), "album", names=["apple.jpg", "pear.jpg"])
    assert await words(database) == {"red"}  # of which `other` has two postings


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


async def test_common_words_of_many_collections_cost_few_rows_to_forget(
    database: Database,
) -> None:
    """The words and the postings of other collections are not read for each word."""
    terms, sharing = 60, 200
    async with database.connection() as connection:
        ids = []
        for number in range(sharing):
            collection = await collections.ensure(connection, f"c{number}")
            source = await add_source(connection, collection, "a.txt", kind="text")
            ids.append(await add_passage(connection, collection, source, ""))
            await connection.execute(
                "INSERT INTO posting SELECT 't' || n, %s, 1 FROM generate_series(1, %s) AS n",
                [ids[-1], terms],
            )
            await add_words(connection, collection.id)
        await connection.execute("ANALYZE passage, posting, vocabulary")
        deleted = DeletedWords()
        await deleted.collect(connection, sources=[source])
        await connection.execute("DELETE FROM passage WHERE id = %s", [ids[-1]])
        cursor = await connection.execute(
            b"EXPLAIN (ANALYZE, FORMAT JSON) " + load_sql("deleted_words")["forget"].encode(),
            {
                "collections": [collection.id] * terms,
                "terms": [f"t{number + 1}" for number in range(terms)],
                "max_postings": 100,
            },
        )
        (((plan,),),) = await cursor.fetchall()
        read = {
            each["Relation Name"]: each["Actual Loops"]
            * (each["Actual Rows"] + each.get("Rows Removed by Filter", 0))
            for each in nodes(plan["Plan"])
            if each["Node Type"].endswith("Scan") and "Relation Name" in each
        }
        assert read["vocabulary"] <= 2 * terms
        assert read["posting"] <= 101 * terms
        assert read.get("passage", 0) <= 100 * terms
