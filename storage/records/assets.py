"""Assets: the images that an agent can view."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import Any, Literal

from sightline.storage.db.queries import Connection, fetch_all, fetch_pairs, load_sql
from sightline.storage.errors import UnknownAssetError
from sightline.storage.types import Box

AssetKind = Literal["image", "page", "frame", "audio"]

_SQL = load_sql("assets")


@dataclass(frozen=True, slots=True)
class Asset:
    """One asset with everything that results show."""

    id: str
    collection: str
    kind: AssetKind
    source: str
    """Name of the source as given at ingest."""
    source_id: int
    mime_type: str | None
    """Of the source."""
    page: int | None
    """From 1; pages only."""
    frame_seconds: float | None
    """From the start of the video; frames only."""
    width: int
    """Pixels of the upright image, like ``height``."""
    height: int
    captured_at: datetime | None
    captured_local: datetime | None
    """``captured_at`` in local time at the place of capture, without a time zone."""
    caption: str | None
    metadata: dict[str, Any]
    location: str
    """Of the bytes, for ``BlobStore.read`` with ``sha256``."""
    sha256: bytes


async def fetch(connection: Connection, ids: Iterable[str]) -> list[Asset]:
    """Return the assets in the order of ``ids``. Raises UnknownAssetError."""
    wanted = list(ids)
    found = await find(connection, wanted)
    if missing := [each for each in wanted if each not in found]:
        raise UnknownAssetError(missing)
    return [found[each] for each in wanted]


async def fetch_one(connection: Connection, asset_id: str) -> Asset:
    """Return one asset. Raises UnknownAssetError."""
    (asset,) = await fetch(connection, [asset_id])
    return asset


async def find(connection: Connection, ids: Iterable[str]) -> dict[str, Asset]:
    """Return the assets that exist, by id."""
    rows = await fetch_all(connection, _SQL["fetch"], {"ids": _storable(ids)}, row=Asset)
    return {asset.id: asset for asset in rows}


async def thumbnail(connection: Connection, asset_id: str) -> bytes:
    """Return the thumbnail JPEG of an asset. Raises UnknownAssetError."""
    found = await thumbnails(connection, [asset_id])
    if asset_id not in found:
        raise UnknownAssetError([asset_id])
    return found[asset_id]


async def thumbnails(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """Return the thumbnail JPEGs of the assets that exist, by id."""
    return await fetch_pairs(connection, _SQL["thumbnails"], {"ids": _storable(ids)})


@dataclass(frozen=True, slots=True)
class AssetTextLine:
    """An OCR line, or a paragraph of the text layer of a page.

    Only a line has a ``box``; ``paragraph_box`` is that of a paragraph.
    """

    text: str
    box: Box | None
    paragraph_box: Box | None = None


async def text_lines(
    connection: Connection, ids: Sequence[str]
) -> dict[str, tuple[AssetTextLine, ...]]:
    """Return the text lines of each asset that has any, as stored, in reading order."""
    params = {"ids": list(ids)}
    rows: list[dict[str, Any]] = await fetch_all(connection, _SQL["text_lines"], params, row=dict)
    return {
        id_: tuple(
            AssetTextLine(
                row["text"],
                row["box"] and tuple(row["box"]),
                row["paragraph_box"] and tuple(row["paragraph_box"]),
            )
            for row in group
        )
        for id_, group in groupby(rows, lambda row: str(row["asset_id"]))
    }


@dataclass(frozen=True, slots=True)
class FileAsset:
    """An asset and the name of its source. ``page`` starts at 1; documents only."""

    source: str
    id: str
    page: int | None


@dataclass(frozen=True, slots=True)
class FilePassage:
    """A passage and the name of its source."""

    source: str
    id: int
    page: int | None
    kind: str
    text: str


async def find_by_filename(
    connection: Connection, files: Iterable[str], collection: str | None
) -> list[FileAsset]:
    """Return the assets of sources with these file names; None: all collections."""
    params = _filename_params(files, collection)
    return await fetch_all(connection, _SQL["find_by_filename"], params, row=FileAsset)


async def find_passages_by_filename(
    connection: Connection, files: Iterable[str], collection: str | None
) -> list[FilePassage]:
    """Return the passages of sources with one of the file names."""
    params = _filename_params(files, collection)
    return await fetch_all(connection, _SQL["find_passages_by_filename"], params, row=FilePassage)


def _filename_params(files: Iterable[str], collection: str | None) -> dict[str, object]:
    names = {file.rsplit("/", 1)[-1] for file in files}
    return {"files": sorted(_storable(names)), "collection": collection}


def _storable(values: Iterable[str]) -> list[str]:
    """Drop values with a NUL character, which Postgres rejects."""
    return [each for each in values if "\0" not in each]
