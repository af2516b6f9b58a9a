"""Where in a picture the words stand that were looked for: a part of what was read there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.retrieval.search_types import Passage
from sightline.storage.types import Box

_SQL = sql_loader.load("lines")
_MOST_LINES = 8

Line = tuple[Box, str]


async def pinpoint(
    connection: Connection, found: Iterable[Passage], terms: Sequence[str]
) -> dict[int, Passage]:
    """The passages by id; those that were read in a picture with the box of the lines that hold
    ``terms`` (stems), where some do.
    """
    passages = {passage.id: passage for passage in found}
    read = [p for p in passages.values() if p.kind == "ocr" and p.asset_id and p.box]
    if not read or not terms:
        return passages
    cursor = await connection.execute(_SQL["lines_of"], {"ids": [p.asset_id for p in read]})
    lines: dict[str, list[Line]] = {}
    for asset_id, x0, y0, x1, y1, label in await cursor.fetchall():
        lines.setdefault(asset_id, []).append(((x0, y0, x1, y1), label or ""))
    for passage in read:
        inside = [each for each in lines.get(passage.asset_id or "", []) if _in(each[0], passage)]
        if (box := box_of(inside, terms)) is not None:
            passages[passage.id] = replace(passage, box=box)
    return passages


def box_of(lines: Sequence[Line], terms: Sequence[str]) -> Box | None:
    """Around the fewest lines that together hold all terms that any line holds; None for none.

    >>> box_of([((0.1, 0.1, 0.9, 0.2), "Total"), ((0.1, 0.3, 0.9, 0.4), "Cash")], ["cash"])
    (0.1, 0.3, 0.9, 0.4)
    """
    wanted = {term for term in terms if len(term) > 1 or not term.isascii()}
    held = [(box, {t for t in wanted if _holds(label, t)}) for box, label in lines]
    chosen: list[Box] = []
    missing = set().union(*(terms for _, terms in held)) if held else set()
    while missing and len(chosen) < _MOST_LINES:
        box, most = max(held, key=lambda each: len(each[1] & missing))
        chosen.append(box)
        missing -= most
    if not chosen:
        return None
    return (
        min(box[0] for box in chosen),
        min(box[1] for box in chosen),
        max(box[2] for box in chosen),
        max(box[3] for box in chosen),
    )


def _holds(label: str, term: str) -> bool:
    edge = r"\b" if term.isascii() else ""  # Chinese words have none
    return re.search(edge + re.escape(term), label, re.IGNORECASE) is not None


def _in(box: Box, passage: Passage) -> bool:
    """Whether the middle of a line is in the passage's box."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    outer = passage.box
    return outer is not None and outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]
