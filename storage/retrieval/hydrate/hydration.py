"""Load passages and regions by id, with snippets and boxes around the query terms."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any, LiteralString

from psycopg.rows import dict_row

from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.records.ocr_lines import asset_text_lines
from sightline.storage.retrieval.hydrate.query_matches import (
    is_center_inside,
    match_box,
    snippet,
)
from sightline.storage.retrieval.search_types import MatchedRegion, Passage

_SQL = load_sql("retrieval")


async def load_passages(
    connection: Connection, ids: Iterable[int | None], terms: Sequence[str] = ()
) -> dict[int, Passage]:
    """Return existing passages by id, with snippets and OCR boxes of the terms."""
    unique = sorted({id_ for id_ in ids if id_ is not None})
    if not unique:
        return {}
    rows = await _fetch_with_box(connection, _SQL["passages_by_id"], unique)
    passages = {row["id"]: Passage(**row, snippet=snippet(row["text"], terms)) for row in rows}
    return await _narrow_ocr_boxes(connection, passages, terms) if terms else passages


async def load_regions(
    connection: Connection, ids: Iterable[int | None]
) -> dict[int, MatchedRegion]:
    """Return the existing regions by id."""
    unique = sorted({id_ for id_ in ids if id_ is not None})
    if not unique:
        return {}
    rows = await _fetch_with_box(connection, _SQL["regions_by_id"], unique)
    return {row["id"]: MatchedRegion(**row) for row in rows}


async def _fetch_with_box(
    connection: Connection, query: LiteralString, ids: list[int]
) -> list[dict[str, Any]]:
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(query, {"ids": ids})
        rows = await cursor.fetchall()
    return [{**row, "box": None if row["box"] is None else tuple(row["box"])} for row in rows]


async def _narrow_ocr_boxes(
    connection: Connection, passages: dict[int, Passage], terms: Sequence[str]
) -> dict[int, Passage]:
    """Narrow the boxes of OCR passages to the lines that contain the terms."""
    ocr = [p for p in passages.values() if p.kind == "ocr" and p.asset_id and p.box]
    if not ocr:
        return passages
    lines = await asset_text_lines(connection, [p.asset_id for p in ocr if p.asset_id])
    narrowed = dict(passages)
    for passage in ocr:
        inside = [
            (line.box, line.text)
            for line in lines.get(passage.asset_id or "", ())
            if line.box and passage.box and is_center_inside(line.box, passage.box)
        ]
        if (box := match_box(inside, terms)) is not None:
            narrowed[passage.id] = replace(passage, box=box)
    return narrowed
