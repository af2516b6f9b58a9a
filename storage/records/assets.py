"""Assets: the pictures that an agent can see."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.errors import UnknownAssetError

Kind = Literal["image", "page", "frame"]

_SQL = sql_loader.load("assets")


@dataclass(frozen=True, slots=True)
class Asset:
    """One picture with all that a result says of it."""

    id: str
    collection: str
    kind: Kind
    source: str
    """The source's name as it was given at ingest."""
    source_id: int
    mime_type: str | None
    """Of the source."""
    page: int | None
    """From 1; pages only."""
    frame_seconds: float | None
    """From the start of the video; frames only."""
    width: int
    """Pixels of the upright picture, as is ``height``."""
    height: int
    captured_at: datetime | None
    captured_local: datetime | None
    """The same moment on the wall clock of the place, without a zone."""
    caption: str | None
    metadata: dict[str, Any]
    location: str
    """Where its bytes are, for ``ObjectStore.read``."""
    sha256: bytes
    """Of those bytes."""


async def fetch(connection: Connection, ids: Iterable[str]) -> list[Asset]:
    """The assets in the order of ``ids``. Raises UnknownAssetError where one does not exist."""
    wanted = list(ids)
    found = await find(connection, wanted)
    missing = [each for each in wanted if each not in found]
    if missing:
        raise UnknownAssetError(missing)
    return [found[each] for each in wanted]


async def fetch_one(connection: Connection, id_: str) -> Asset:
    """The asset of that id. Raises UnknownAssetError where it does not exist."""
    (asset,) = await fetch(connection, [id_])
    return asset


async def find(connection: Connection, ids: Iterable[str]) -> dict[str, Asset]:
    """Those of the assets that exist, by id."""
    wanted = [each for each in ids if "\0" not in each]
    rows = await (await connection.execute(_SQL["fetch"], {"ids": wanted})).fetchall()
    return {row[0]: Asset(*row) for row in rows}


async def thumbnail(connection: Connection, id_: str) -> bytes:
    """The small JPEG that was made at ingest. Raises UnknownAssetError."""
    if "\0" in id_:
        raise UnknownAssetError([id_])
    row = await (await connection.execute(_SQL["thumbnail"], {"id": id_})).fetchone()
    if row is None:
        raise UnknownAssetError([id_])
    return bytes(row[0])


async def thumbnails(connection: Connection, ids: Sequence[str]) -> dict[str, bytes]:
    """The small JPEGs of those of the assets that exist, by id."""
    wanted = [each for each in ids if "\0" not in each]
    rows = await (await connection.execute(_SQL["thumbnails"], {"ids": wanted})).fetchall()
    return {id_: bytes(jpeg) for id_, jpeg in rows}
