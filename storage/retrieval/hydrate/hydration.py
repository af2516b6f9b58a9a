"""Load passages and regions by id, with snippets and boxes around the query terms."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

from psycopg.rows import dict_row

from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.records.assets import Asset, text_lines
from sightline.storage.retrieval.search_types import MatchedRegion, Passage
from sightline.storage.types import Box

SNIPPET_CHARS = 280
_MAX_MATCHES = 200
_MAX_TERMS = 64
_MAX_LINES = 8
_SQL = load_sql("retrieval")


async def load_passages(
    connection: Connection, ids: Iterable[int | None], terms: Sequence[str] = ()
) -> dict[int, Passage]:
    """Return existing passages by id, with snippets and OCR boxes of the terms."""
    rows = await _fetch_by_id(connection, "passages_by_id", ids)
    passages = {row["id"]: Passage(**row, snippet=snippet(row["text"], terms)) for row in rows}
    ocr = [p for p in passages.values() if terms and p.kind == "ocr" and p.asset_id and p.box]
    ids_of_ocr = [p.asset_id for p in ocr if p.asset_id]
    lines = await text_lines(connection, ids_of_ocr) if ocr else {}
    for passage in ocr:
        inside = [
            (line.box, line.text)
            for line in lines.get(passage.asset_id or "", ())
            if line.box and passage.box and _is_center_inside(line.box, passage.box)
        ]
        if (box := match_box(inside, terms)) is not None:
            passages[passage.id] = replace(passage, box=box)
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


def snippet(text: str, terms: Sequence[str]) -> str:
    """Return the part of the text that contains most of the query's terms.

    Terms are stems: a word matches if it begins with one. Cuts at spaces, with an ellipsis at each
    cut, and collapses white space.
    """
    flat = " ".join(text.split())
    if len(flat) <= SNIPPET_CHARS:
        return flat
    start = _best_start(flat, terms)
    end = start + SNIPPET_CHARS
    cut = flat[start:end]
    if start > 0:
        space = cut.find(" ", 0, SNIPPET_CHARS // 4)
        cut = "…" + cut[space + 1 :]
    if end < len(flat):
        space = cut.rfind(" ", len(cut) - SNIPPET_CHARS // 4)
        cut = (cut[:space] if space > 0 else cut) + "…"
    return cut


def match_box(lines: Sequence[tuple[Box, str]], terms: Iterable[str]) -> Box | None:
    """Return the box of the fewest lines that contain all matched terms.

    >>> match_box([((0.1, 0.1, 0.9, 0.2), "Total"), ((0.1, 0.3, 0.9, 0.4), "Cash")], ["cash"])
    (0.1, 0.3, 0.9, 0.4)
    """
    usable = _usable_terms(terms)
    matches = [
        (box, {t for t in usable if re.search(_term_pattern(t), label, re.IGNORECASE)})
        for box, label in lines
    ]
    missing = set().union(*(matched for _, matched in matches))
    chosen: list[Box] = []
    while missing and len(chosen) < _MAX_LINES:
        box, matched = max(matches, key=lambda match: len(match[1] & missing))
        chosen.append(box)
        missing -= matched
    if not chosen:
        return None
    left, top, right, bottom = zip(*chosen, strict=True)
    return min(left), min(top), max(right), max(bottom)


def _is_center_inside(box: Box, outer: Box) -> bool:
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def _best_start(flat: str, terms: Iterable[str]) -> int:
    """Return the start of the first window with the most distinct terms."""
    usable = sorted(_usable_terms(terms), key=len)[::-1]
    if not usable:
        return 0
    pattern = "|".join(map(_term_pattern, usable[:_MAX_TERMS]))
    found = islice(re.finditer(pattern, flat, re.IGNORECASE), _MAX_MATCHES)
    matches = [(match.start(), match.group().lower()) for match in found]
    best, start = 0, 0
    for index, (position, _) in enumerate(matches):
        inside = {term for at, term in matches[index:] if at < position + SNIPPET_CHARS * 3 // 4}
        if len(inside) > best:
            best, start = len(inside), position
    return max(0, min(start - SNIPPET_CHARS // 8, len(flat) - SNIPPET_CHARS))


def _usable_terms(terms: Iterable[str]) -> set[str]:
    """Drop single ASCII characters, which match almost everywhere."""
    return {term for term in terms if len(term) > 1 or not term.isascii()}


def _term_pattern(term: str) -> str:
    # Chinese text has no word boundaries.
    return (r"\b" if term.isascii() else "") + re.escape(term)
