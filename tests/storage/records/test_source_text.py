"""The text of a source is put together from its passages, in bounded parts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import collections
from sightline.storage.records.source_text import (
    PassageText,
    TextPosition,
    TextSelection,
    count_characters,
    fetch_document,
    fetch_passages,
    fetch_source,
    find_sources,
    pages_without_text,
    similar_names,
)
from tests.support import database_rows

Chunk = tuple[str, int | None, int | None]


async def add_source(connection: Connection, name: str, kind: str = "text") -> int:
    library = await collections.ensure(connection, "library")
    return await database_rows.add_source(connection, library, name, kind=kind)


async def add_chunks(connection: Connection, source: int, chunks: Sequence[Chunk]) -> None:
    for ordinal, (text, start, end) in enumerate(chunks):
        await connection.execute(
            "INSERT INTO passage (collection_id, source_id, kind, ordinal, text, char_start, "
            "char_end, tokens, token_count) "
            "SELECT collection_id, id, 'chunk', %s, %s, %s, %s, '', 1 FROM source WHERE id = %s",
            [ordinal, text, start, end, source],
        )


async def read(
    connection: Connection,
    source: int,
    start: TextPosition | None = None,
    max_chars: int = 10_000,
    max_passages: int = 4_000,
) -> list[PassageText]:
    return await fetch_passages(
        connection,
        TextSelection(source),
        start=start,
        max_chars=max_chars,
        max_passages=max_passages,
    )


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        ([("abcdef", 0, 6), ("efgh", 4, 8)], [("abcdef", None), ("gh", -2)]),
        ([("abc", 0, 3), ("def", 5, 8)], [("abc", None), ("def", 2)]),
        (
            [("abcdef", 0, 6), ("bcd", 1, 4), ("fgh", 5, 8)],
            [("abcdef", None), ("", -5), ("gh", -1)],
        ),
        ([("abc", None, None), ("def", None, None)], [("abc", None), ("def", None)]),
        (
            [("abc", 9, 12), ("def", 0, 3)],
            [("abc", None), ("", -12)],
        ),  # offsets of a hostile worker
    ],
)
async def test_chunks_are_without_what_they_share(
    database: Database, chunks: list[Chunk], expected: list[tuple[str, int | None]]
) -> None:
    async with database.connection() as connection:
        source = await add_source(connection, "tale.md")
        await add_chunks(connection, source, chunks)
        passages = await read(connection, source)
        total = await count_characters(connection, TextSelection(source))
        # One by one, from each place where a part can end.
        parts: list[tuple[str, int | None]] = []
        start: TextPosition | None = None
        while not parts or start is not None:
            (passage,) = await read(connection, source, start, max_passages=1)
            parts.append((passage.text, passage.gap))
            start = passage.position(len(passage.text))
    assert [(each.text, each.gap) for each in passages] == parts == expected
    assert total == sum(len(text) for text, _ in expected)


async def test_only_the_passages_of_a_range_are_fetched(database: Database) -> None:
    async with database.connection() as connection:
        source = await add_source(connection, "tale.md")
        await add_chunks(connection, source, [(f"{n:04}", 4 * n, 4 * n + 4) for n in range(50)])
        first = await read(connection, source, max_chars=41)
        start = first[-1].position(1)
        middle = await read(connection, source, start, max_chars=8)
        end = (await read(connection, source))[-1]
    assert start is not None
    assert [each.text for each in middle] == ["010", "0011", "0012"]
    assert end.text == "0049"
    assert end.position(4) is None


async def test_a_position_of_another_source_is_refused(database: Database) -> None:
    async with database.connection() as connection:
        one, other = [await add_source(connection, name) for name in ("a.md", "b.md")]
        await add_chunks(connection, one, [("secret", 0, 6)])
        (passage,) = await read(connection, one)
        for start in (TextPosition(passage.id, 0, None), TextPosition(passage.id + 999, 0, None)):
            with pytest.raises(InvalidArgumentError, match="without `start`"):
                await read(connection, other, start)


async def test_names_are_found_whole_or_by_their_end(database: Database) -> None:
    async with database.connection() as connection:
        for name in ("a/tale.md", "b/tale.md", "tale.md", "b/100%_tale.md"):
            await add_source(connection, name)

        async def names(name: str, collection: str | None = None) -> list[str]:
            return [each.name for each in await find_sources(connection, name, collection)]

        assert await names("tale.md") == ["tale.md"]
        assert await names("b/tale.md") == ["b/tale.md"]
        assert await names("%_tale.md") == await names("ale.md") == await names("") == []
        assert await names("tale.md", "library") == ["tale.md"]
        assert await names("tale.md", "other") == []
        assert await similar_names(connection, "x/tales.md", None) == [
            "a/tale.md",
            "b/tale.md",
            "tale.md",
            "b/100%_tale.md",
        ]
        assert await similar_names(connection, "zzzzzzz", None) == [
            "a/tale.md",
            "b/100%_tale.md",
            "b/tale.md",
            "tale.md",
        ]
        assert await similar_names(connection, "tale.md", "other") == []


async def test_only_a_pdf_is_a_document(database: Database) -> None:
    async with database.connection() as connection:
        text = await add_source(connection, "tale.md")
        manual = await add_source(connection, "manual.pdf", "pdf")
        document = await fetch_document(connection, manual)
        assert await fetch_document(connection, text) is None
        assert await fetch_source(connection, manual + text) is None
        found = await fetch_source(connection, manual)
        silent = await pages_without_text(connection, TextSelection(manual))
    assert document is not None
    assert document.location == "file:/pictures/manual.pdf"
    assert found is not None
    assert (found.name, found.collection, found.page_count) == ("manual.pdf", "library", None)
    assert silent == []


async def test_a_part_of_a_long_source_reads_only_its_own_passages(database: Database) -> None:
    async with database.connection() as connection:
        await add_source(connection, "tale.md")
        await connection.execute(
            "INSERT INTO passage (collection_id, source_id, kind, ordinal, text, tokens, "
            "token_count) SELECT collection_id, id, 'chunk', n, 'text', '', 1 "
            "FROM source, generate_series(1, 10) AS n"
        )
        other = await add_source(connection, "other.md")
        await connection.execute(
            "INSERT INTO passage (collection_id, source_id, kind, ordinal, text, tokens, "
            "token_count) SELECT collection_id, id, 'chunk', n, 'text', '', 1 "
            "FROM source, generate_series(1, 5000) AS n WHERE id = %s",
            [other],
        )
        await connection.execute("ANALYZE passage")
        cursor = await connection.execute("SELECT id FROM passage WHERE ordinal = 4000")
        ((middle,),) = await cursor.fetchall()
        params = {
            **TextSelection(other).params,
            "page": 0,
            "seconds": -math.inf,
            "ordinal": 4000,
            "id": middle,
            "offset": 0,
            "reached": None,
            "max_chars": 100,
            "limit": 10,
        }
        explain = "EXPLAIN (ANALYZE, FORMAT JSON) " + load_sql("source_text")["passages"]
        cursor = await connection.execute(explain, params)  # type: ignore[arg-type]
        (((plan,),),) = await cursor.fetchall()
    scans = [each for each in nodes(plan["Plan"]) if "Relation Name" in each]
    assert "passage_source_idx" in {each.get("Index Name") for each in scans}
    assert {each["Node Type"] for each in scans} == {"Index Scan"}
    for each in scans:
        assert each["Actual Rows"] <= 11
        assert each.get("Rows Removed by Filter", 0) == 0


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


async def test_many_ends_of_names_are_found_in_one_pass(database: Database) -> None:
    async with database.connection() as connection:
        source = await add_source(connection, "0.txt")
        await connection.execute(
            "INSERT INTO source (collection_id, content_key, name, location, kind, state) "
            "SELECT collection_id, sha256(n::text::bytea), 'a/' || n || '.txt', '', kind, state "
            "FROM source, generate_series(1, 3000) AS n WHERE id = %s",
            [source],
        )
        await connection.execute("ANALYZE source")
        library = await collections.get(connection, "library")
        values = [f"{number}.txt" for number in range(200)]
        params = {"collections": [library.id], "values": values, "ends": values, "limit": 5}
        block = load_sql("source_text")["sources_by_end"]
        found = await (await connection.execute(block, params)).fetchall()  # type: ignore[arg-type]
        explain = "EXPLAIN " + block
        cursor = await connection.execute(explain, params)  # type: ignore[arg-type]
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert {row[0]: row[1] for row in found} == {f"{n}.txt": [f"a/{n}.txt"] for n in range(1, 200)}
    assert "Nested Loop" not in plan
    assert plan.count("Seq Scan on source") == 2
