"""Searches in SQL: by words, by vector with filters, and neighbors of many assets."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import psycopg
import pytest

from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import collections
from sightline.storage.retrieval.filters.filter_columns import ASSETS, PASSAGES
from sightline.storage.retrieval.filters.filter_compiler import (
    MetadataField,
    compile_filters,
)
from sightline.storage.retrieval.filters.filter_language import parse
from sightline.storage.text.analyzer import analyze, vocabulary
from tests.storage.analytics.conftest import asset_id
from tests.support.database_rows import add_asset, add_source


async def rows(runner: SqlRunner, text: str) -> list[list[Any]]:
    return (await runner.run(text, rows=1000)).rows


async def stored_vectors(database: Database) -> tuple[list[str], list[str], Any]:
    """Return asset ids, collections, and unit vectors of the stored halfvecs."""
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT e.asset_id, c.name, e.embedding FROM embedding AS e "
            "JOIN collection AS c ON c.id = e.collection_id ORDER BY 1"
        )
        found = await cursor.fetchall()
    matrix = np.stack([row[2].to_numpy().astype(np.float64) for row in found])
    unit = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    return [row[0] for row in found], [row[1] for row in found], unit


async def test_neighbors_of_many_assets_are_those_of_numpy(
    filled: Database, runner: SqlRunner
) -> None:
    ids, names, unit = await stored_vectors(filled)
    distances = 1 - unit @ unit.T
    np.fill_diagonal(distances, np.inf)
    found = await rows(
        runner,
        "SELECT asset_id, collection, rank, other_asset_id, other_collection, distance "
        "FROM knn(collection_name => 'album', k => 5)",
    )
    assert len(found) == 29 * 5
    assert [row[2] for row in found] == list(range(1, 6)) * 29
    for asset, collection, rank, other, other_collection, distance in found:
        one, two = ids.index(asset), ids.index(other)
        assert (names[one], names[two]) == (collection, other_collection)
        assert distance == pytest.approx(distances[one, two], abs=1e-4)
        assert distance == pytest.approx(np.sort(distances[one])[rank - 1], abs=1e-4)
    chosen = [asset_id("album", 3), asset_id("other", 3)]
    by_id = await rows(runner, f"SELECT * FROM knn(ARRAY{chosen}, 5)")
    one_by_one = [await rows(runner, f"SELECT * FROM nearest('{each}', 5)") for each in chosen]
    assert [row[3] for row in by_id] == [row[0] for each in one_by_one for row in each]


WRONG_CALLS = {
    "knn()": "either asset_ids or collection_name",
    "knn(ARRAY['album0000000'], 3, NULL, 'album')": "either asset_ids or collection_name",
    "knn(ARRAY['album0000000', 'nothing'], 3)": "unknown assets: 'nothing'",
    "search_text('?!')": "has no word",
    "search('[1,2]')": "has 2 dimensions",
}


async def test_wrong_arguments_are_named(runner: SqlRunner) -> None:
    for call, message in WRONG_CALLS.items():
        with pytest.raises(InvalidArgumentError, match=message):
            await rows(runner, f"SELECT * FROM {call}")


async def test_a_filtered_search_compares_all_matching_vectors(
    filled: Database, runner: SqlRunner
) -> None:
    ids, names, unit = await stored_vectors(filled)
    query = np.arange(1.0, 9.0)
    distances = 1 - unit @ (query / np.linalg.norm(query))
    filters = json.dumps({"product": "Onion", "collection": "other"})
    found = await rows(
        runner,
        f"SELECT asset_id, distance FROM search('{query.tolist()}', 3, filters => '{filters}')",
    )
    onions = [i for i, id_ in enumerate(ids) if names[i] == "other" and int(id_[-7:]) % 5 == 0]
    expected = sorted(onions, key=lambda i: distances[i])[:3]
    assert [row[0] for row in found] == [ids[i] for i in expected]
    assert [row[1] for row in found] == pytest.approx([distances[i] for i in expected], abs=1e-4)
    everything = await rows(
        runner, f"SELECT asset_id FROM search('{query.tolist()}', 99, filters => '{{}}')"
    )
    assert len(everything) == 48


async def test_the_index_serves_a_filter_that_many_rows_meet(filled: Database) -> None:
    """With more matching rows than are compared one by one, the result is the same."""
    async with filled.connection() as connection:
        search = (
            "SELECT asset_id FROM analytics.search('[1,2,3,4,5,6,7,8]', 40, "
            'filters => \'{"product": "Garlic"}\')'
        )
        exact = await (await connection.execute(search.encode())).fetchall()
        (definition,) = (
            await (
                await connection.execute("SELECT pg_get_functiondef('analytics.search'::regproc)")
            ).fetchall()
        )[0]
        assert "CONSTANT integer := 20000" in definition
        await connection.execute(definition.replace(":= 20000", ":= 5").encode())
        by_index = await (await connection.execute(search.encode())).fetchall()
        await connection.rollback()
    assert len(exact) == 38
    assert by_index == exact


async def test_the_kind_of_a_vector_costs_nothing_unless_it_is_read(filled: Database) -> None:
    async with filled.connection() as connection:

        async def plan(columns: str) -> str:
            query = f"EXPLAIN SELECT {columns} FROM analytics.embeddings WHERE level = 'asset'"
            cursor = await connection.execute(query.encode())
            return "\n".join(row[0] for row in await cursor.fetchall())

        assert "on passage" in await plan("kind")
        for table in ("passage", "region", "asset"):
            assert f"on {table} " not in await plan("asset_id, collection, embedding")


TEXTS = {
    "a1": "A red van stands before the bakery",
    "a2": "Two vans, colour: blue",
    "a3": "The baker sells bread; red bread",
    "a4": "红色货车停在路边",
    "a5": "Café Müller, invoice LGA-1700",
}


@pytest.fixture
async def texts(database: Database) -> AsyncIterator[Database]:
    """Five passages, analyzed as the ingest does."""
    async with database.connection() as connection:
        album = await collections.ensure(connection, "album")
        for number, (name, text) in enumerate(TEXTS.items()):
            source = await add_source(connection, album, f"{name}.jpg")
            id_ = asset_id("album", number)
            await add_asset(
                connection,
                album,
                id_,
                source_id=source,
                caption=text,
                metadata={"number": number, "tags": ["x", name], "camera": {"make": "Acme"}},
            )
            found = analyze(text)
            cursor = await connection.execute(
                "INSERT INTO passage (collection_id, source_id, asset_id, kind, text, tokens, "
                "token_count) VALUES (%s, %s, %s, 'caption', %s, %s::tsvector, %s) RETURNING id",
                [album.id, source, id_, text, found.tsvector, found.token_count],
            )
            ((passage,),) = await cursor.fetchall()
            for term, count in found.frequencies.items():
                await connection.execute(
                    "INSERT INTO posting (term, passage_id, frequency) VALUES (%s, %s, %s)",
                    [term, passage, count],
                )
            for word, term in vocabulary(found.words, found.frequencies).items():
                await connection.execute(
                    "INSERT INTO vocabulary (collection_id, word, term) VALUES (%s, %s, %s) "
                    "ON CONFLICT DO NOTHING",
                    [album.id, word, term],
                )
        await connection.execute(
            "UPDATE asset SET captured_local = '2026-03-01 17:30' WHERE id = 'album0000001'"
        )
    return database


#: Queries with the passages that they find, the best first.
QUERIES = {
    "red van": ["a1", "a2", "a3"],
    "VANS": ["a1", "a2"],
    "color": ["a2"],
    "bakeries": ["a1"],
    "红色": ["a4"],
    "café": ["a5"],
    "muller": ["a5"],
    "lga 1700": ["a5"],
    "unicorn": [],
}


async def test_words_find_passages(texts: Database) -> None:
    async with texts.connection() as connection:
        for query, expected in QUERIES.items():
            cursor = await connection.execute(
                "SELECT source, score, text FROM analytics.search_text(%s)", [query]
            )
            found = await cursor.fetchall()
            names = [row[0].removesuffix(".jpg") for row in found]
            assert sorted(names) == expected, query
            scores = [row[1] for row in found]
            assert scores == sorted(scores, reverse=True)
            assert all(row[2] == TEXTS[name] for row, name in zip(found, names, strict=True))
            if query == "red van":
                assert names[0] == "a1"


FIELDS = {
    "number": MetadataField(("number",), frozenset(["number"])),
    "tags": MetadataField(("tags",), frozenset(["array"])),
    "camera.make": MetadataField(("camera", "make"), frozenset(["string"])),
}
FILTERS: list[dict[str, Any]] = [
    {"number": 2},
    {"number": [1, 3]},
    {"number": {"gte": 1, "lt": 3}},
    {"number": {"between": [1, 3]}},
    {"number": {"ne": 2}},
    {"number": {"nin": [1, 2]}},
    {"tags": "a2"},
    {"tags": {"contains": "a3"}},
    {"tags": {"is_empty": True}},
    {"camera.make": "Acme"},
    {"metadata.camera.make": {"text_match_insensitive": "aCM"}},
    {"or": [{"number": 1}, {"not": {"number": {"lt": 4}}}]},
    {"source": "a2.jpg"},
    {"source": {"text_match": "3"}},
    {"file_name": {"in": ["a1.jpg", "a4.jpg"]}},
    {"collection": "album", "kind": "image"},
    {"width": {"gt": 100}},
    {"height": "480"},
    {"caption": {"contains": "bread"}},
    {"caption": {"is_empty": True}},
    {"mime_type": None},
    {"page": None},
    {"captured_at": "2026-03-01"},
    {"captured_at": {"gte": "2026-03-01T17:30", "lte": "2026-03-01T17:30:00"}},
    {"captured_at": {"ne": "2026-03-01"}},
    {"captured_at": {"gt": "2026-03-01T17:30Z"}},
    {"captured_at.year": 2026},
    {"captured_at.month": "2026-03"},
    {"captured_at": {"is_empty": False}},
    {"asset": "album0000003"},
    {"source": {"gt": "a2.jpg"}},
]


async def test_filters_mean_the_same_as_in_the_tools(texts: Database) -> None:
    async with texts.connection() as connection:
        for filters in FILTERS:
            for level, key, schema in (("asset", "a.id", ASSETS), ("passage", "p.id", PASSAGES)):
                if level == "passage" and "kind" in filters:
                    continue
                compiled = compile_filters(parse(filters), schema, FIELDS)
                (condition,) = await (
                    await connection.execute(
                        "SELECT sightline.filter_condition(%s::jsonb, %s), "
                        "sightline.filter_tables(%s)",
                        [json.dumps(filters), level, level],
                    )
                ).fetchall()
                query = f"SELECT {key} FROM {condition[1]} WHERE "
                by_sql = await connection.execute((query + condition[0] + " ORDER BY 1").encode())
                found = await by_sql.fetchall()
                by_tool = await connection.execute(
                    (query + compiled.sql.as_string(connection) + " ORDER BY 1").encode(),
                    compiled.parameters,
                )
                assert found == await by_tool.fetchall(), (filters, condition[0])
                is_selective = filters not in (
                    {"mime_type": None}, {"page": None}, {"collection": "album", "kind": "image"},
                )  # fmt: skip
                assert not is_selective or len(found) <= 5


#: Each with a part of the error, and of its hint.
UNAVAILABLE: list[tuple[object, str, str]] = [
    ({"gps": {"near": [1, 2]}}, "operator 'near' of 'gps' is not available", "eq, ne"),
    ({"time_of_day": "17:00"}, "filter key 'time_of_day' is not available", "captured_at.year"),
    ({"colour": "red"}, "filter key 'colour' is not available in SQL", "Available: asset, coll"),
    ({"number": {"like": "x"}}, "operator 'like'", "Available: eq, ne"),
    ({"number": {"in": 5}}, "takes a list", ""),
    ({"number": {}}, "has no operator", ""),
    ({"width": "wide"}, "'width' is a number", ""),
    ({"source": 5}, "'source' is a text", ""),
    ({"captured_at": "tomorrow"}, "does not take the value", "2024-05-01"),
    ({"captured_at": "2026-02-31"}, "out of range", ""),
    ({"or": {"number": 1}}, "takes a list of filters", ""),
    ({"not": 5}, "a filter is an object", ""),
    ([1], "a filter is an object", ""),
    ({"x": {"is_empty": 5}}, "does not take the value 5", "true or false"),
]


async def test_a_filter_that_sql_does_not_have_is_named(texts: Database) -> None:
    with psycopg.connect(texts.dsn, autocommit=True) as connection:
        for filters, message, hint in UNAVAILABLE:
            with pytest.raises(psycopg.Error) as caught:
                connection.execute(
                    "SELECT * FROM analytics.search_text('red', 5, %s::jsonb)",
                    [json.dumps(filters)],
                )
            assert message in (caught.value.diag.message_primary or ""), filters
            assert hint in (caught.value.diag.message_hint or ""), filters


async def test_a_filter_cannot_contain_sql(texts: Database) -> None:
    for text in ("x' OR true --", "'; DROP TABLE sightline.asset; --", "a%s{}$1"):
        await _require_no_rows(texts, text)


async def _require_no_rows(texts: Database, text: str) -> None:
    async with texts.connection() as connection:
        await connection.execute(
            "UPDATE asset SET metadata = metadata || jsonb_build_object(%s::text, 1)", [text]
        )
        for filters in ({"source": text}, {text: text}, {text: {"gt": text}}, {"tags": [text]}):
            cursor = await connection.execute(
                "SELECT * FROM analytics.search_text('red', 5, %s::jsonb, %s)",
                [json.dumps(filters), text],
            )
            assert await cursor.fetchall() == []
