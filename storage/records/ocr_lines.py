"""The text that stands in pictures, as it was read at ingest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection

_SQL = sql_loader.load("written")


@dataclass(frozen=True, slots=True)
class WrittenLine:
    """A line, or the text of a whole page.

    ``box`` is x0, y0, x1, y1, 0 to 1 of the upright picture; ``None`` for the text of a page.
    """

    text: str
    box: tuple[float, float, float, float] | None


async def lines_on(
    connection: Connection, asset_ids: Sequence[str]
) -> dict[str, tuple[WrittenLine, ...]]:
    """What is written on each of the assets on which anything was read, in reading order."""
    cursor = await connection.execute(_SQL["lines_on"], {"asset_ids": list(asset_ids)})
    found: dict[str, list[WrittenLine]] = {}
    for asset_id, text, box, _ in await cursor.fetchall():
        line = WrittenLine(text, None if box is None else (box[0], box[1], box[2], box[3]))
        found.setdefault(asset_id, []).append(line)
    return {asset_id: tuple(lines) for asset_id, lines in found.items()}
