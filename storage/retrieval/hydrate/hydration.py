"""Load passages and regions by id, with snippets and boxes of the query's words."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from psycopg.rows import dict_row

from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.records.assets import Asset, text_lines
from sightline.storage.retrieval.hydrate.word_matches import WordMatcher
from sightline.storage.retrieval.search_types import MatchedRegion, Passage
from sightline.storage.text.query_analysis import QueryTerm
from sightline.storage.types import Box

_SQL = load_sql("retrieval")


async def load_passages(
    connection: Connection, ids: Iterable[int | None], terms: Sequence[QueryTerm] = ()
) -> dict[int, Passage]:
    """Return existing passages by id, with snippets and OCR boxes of the terms."""
    rows = await _fetch_by_id(connection, "passages_by_id", ids)
    matcher = WordMatcher(terms)
    with_lines = [row["asset_id"] for row in rows if row["kind"] == "ocr" and row["asset_id"]]
    lines = await text_lines(connection, with_lines) if with_lines and matcher else {}
    passages: dict[int, Passage] = {}
    for row in rows:
        box: Box | None = row["box"]
        inside = [
            (line.box, line.text)
            for line in lines.get(row["asset_id"], ())
            if box and line.box and _is_center_inside(line.box, box)
        ]
        words_box = matcher.box(inside)
        if box is not None and not inside and matcher.matches(row["text"]):
            words_box = box
        passages[row["id"]] = Passage(
            **{**row, "box": words_box or box},
            snippet=matcher.snippet(row["text"], [text for _, text in inside]),
            has_words=words_box is not None,
        )
    return passages


async def load_regions(
    connection: Connection, ids: Iterable[int | None]
) -> dict[int, MatchedRegion]:
    """Return the existing regions by id."""
    rows = await _fetch_by_id(connection, "regions_by_id", ids)
    return {row["id"]: MatchedRegion(**row) for row in rows}


def image_text(asset: Asset | None, passage: Passage | None) -> str:
    """Return the caption of an asset and the matched passage, without repeats."""
    texts = [asset.caption if asset else None, passage.text if passage else None]
    return "\n".join(filter(None, dict.fromkeys(texts)))


async def _fetch_by_id(
    connection: Connection, block: str, ids: Iterable[int | None]
) -> list[dict[str, Any]]:
    unique = sorted({id_ for id_ in ids if id_ is not None})
    if not unique:
        return []
    async with connection.cursor(row_factory=dict_row) as cursor:
        await cursor.execute(_SQL[block], {"ids": unique})
        rows = await cursor.fetchall()
    return [{**row, "box": row["box"] and tuple(row["box"])} for row in rows]


def _is_center_inside(box: Box, outer: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]
