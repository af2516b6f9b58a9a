"""OCR lines and page text of assets, as stored at ingest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.types import Box

_SQL = load_sql("ocr_lines")


@dataclass(frozen=True, slots=True)
class AssetTextLine:
    """An OCR line, or the text layer of a whole page (``box`` is None)."""

    text: str
    box: Box | None


@dataclass(frozen=True, slots=True)
class _Row:
    asset_id: str
    text: str
    box: list[float] | None
    ordinal: int


async def asset_text_lines(
    connection: Connection, asset_ids: Sequence[str]
) -> dict[str, tuple[AssetTextLine, ...]]:
    """Return the text lines of each asset that has any, in reading order."""
    params = {"asset_ids": list(asset_ids)}
    by_asset: dict[str, list[AssetTextLine]] = {}
    for row in await fetch_all(connection, _SQL["asset_text_lines"], params, row=_Row):
        box = None if row.box is None else (row.box[0], row.box[1], row.box[2], row.box[3])
        by_asset.setdefault(row.asset_id, []).append(AssetTextLine(row.text, box))
    return {asset_id: tuple(lines) for asset_id, lines in by_asset.items()}
