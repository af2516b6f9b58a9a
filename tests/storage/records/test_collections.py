from __future__ import annotations

import asyncio

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import collections
from tests.support.database_rows import add_asset


@pytest.mark.parametrize("name", ["album", "holiday-2024", "北京照片", "é", "a" * 64, "v1.2_b"])
def test_names_of_any_script_are_valid(name: str) -> None:
    assert collections.validate_name(name) == name


def test_names_are_normalized_to_nfc() -> None:
    assert collections.validate_name("e\u0301te\u0301") == "\u00e9t\u00e9"


@pytest.mark.parametrize(
    "name", ["", " ", "a b", "a'b", 'a"b', "a/b", "../a", "-a", ".a", "a\n", "a\0", "a" * 65, "a;b"]
)
def test_names_that_need_quotes_are_refused(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match="cannot name a collection"):
        collections.validate_name(name)


async def test_an_unknown_collection_error_lists_the_known_ones(database: Database) -> None:
    async with database.connection() as connection:
        await collections.ensure(connection, "album")
        await collections.ensure(connection, "receipts")
        with pytest.raises(UnknownNameError, match=r"Unknown collection 'x'.*'album', 'receipts'"):
            await collections.get(connection, "x")


async def test_concurrent_callers_create_one_collection(database: Database) -> None:
    async def ask() -> collections.Collection:
        async with database.connection() as connection:
            return await collections.ensure(connection, "album", {"ocr": "auto"})

    asked = await asyncio.gather(*(ask() for _ in range(8)))
    assert all(collection == asked[0] for collection in asked)
    assert asked[0].settings == {"ocr": "auto"}


async def test_settings_are_updated_by_key(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album", {"ocr": "auto", "tiles": 4})
        changed = await collections.update_settings(connection, album, {"ocr": "off"})
        assert changed.settings == {"ocr": "off", "tiles": 4}
        assert await collections.get(connection, "album") == changed


async def test_an_empty_collection_has_zero_counts(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        (overview,) = await collections.list_overviews(connection)
    assert (overview.id, overview.name, overview.settings, overview.created_at) == (
        album.id,
        album.name,
        album.settings,
        album.created_at,
    )
    assert (overview.assets, overview.passages, overview.failed_sources) == (0, 0, 0)
    assert overview.captured_from is None
    assert overview.encoder is None
    assert overview.metadata_keys == ()


async def test_the_examples_of_a_key_have_its_most_frequent_value(database: Database) -> None:
    shops = ["Aldi", "Billa", "Coop", "Denner", "Edeka", "Migros", "Migros", "Spar"]
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        for number, shop in enumerate(shops):
            await add_asset(connection, album, f"{number:012}", metadata={"shop": shop})
        (overview,) = await collections.list_overviews(connection)
    assert overview.metadata_keys is not None
    assert overview.metadata_keys[0].examples == ["Aldi", "Billa", "Coop", "Migros", "Spar"]


async def test_the_overview_has_counts_and_metadata_keys(database: Database) -> None:
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        await collections.ensure(connection, "empty")
        await add_asset(connection, album, "a" * 12, metadata={"shop": "Aldi", "price": 2})
        await add_asset(connection, album, "b" * 12, metadata={"shop": "Coop", "price": "two"})
        await add_asset(connection, album, "c" * 12, metadata={"shop": None, "tags": ["x"]})
        await connection.execute(
            "INSERT INTO source (collection_id, content_key, name, location, kind, state, error) "
            "VALUES (%s, %s, 'bad.jpg', 'file:/bad.jpg', 'image', 'failed', 'truncated')",
            [album.id, bytes(32)],
        )
        first, second = await collections.list_overviews(connection)
    assert (first.name, first.assets, first.done_sources, first.failed_sources) == (
        "album",
        3,
        3,
        1,
    )
    assert [(key.key, key.type, key.assets, key.examples) for key in first.metadata_keys] == [
        ("price", "mixed", 2, ["2", "two"]),
        ("shop", "string", 2, ["Aldi", "Coop"]),
        ("tags", "array", 1, ['["x"]']),
    ]
    assert (second.name, second.assets, second.metadata_keys) == ("empty", 0, ())
