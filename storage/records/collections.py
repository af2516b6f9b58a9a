"""Collections: named bodies of material."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from psycopg.rows import TupleRow
from psycopg.types.json import Jsonb

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.errors import InvalidArgumentError, UnknownNameError, shown

_SQL = sql_loader.load("collections")
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection's row. ``settings``: declared metadata keys, OCR mode and the like."""

    id: int
    name: str
    settings: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MetadataKey:
    """A metadata key in use.

    ``type`` is JSON's name for its values, or ``mixed``; ``examples`` are cut to 60 characters.
    """

    key: str
    type: str
    assets: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Overview:
    """A collection, and how much of what is in it."""

    collection: Collection
    assets: int
    passages: int
    done_sources: int
    failed_sources: int
    captured_from: datetime | None
    captured_to: datetime | None
    encoder: str | None
    metadata_keys: tuple[MetadataKey, ...]

    @property
    def name(self) -> str:
        """Of the collection."""
        return self.collection.name


def valid_name(name: str) -> str:
    """The name in its one spelling (NFC).

    Raises InvalidArgumentError unless it is 1 to 64 letters and digits of any script, ``_``,
    ``.`` and ``-``, and starts with a letter, a digit or ``_``: what stands in a URI, a shell
    and a sentence without quotes.
    """
    normal = unicodedata.normalize("NFC", name)
    if _NAME.fullmatch(normal) is None:
        raise InvalidArgumentError(
            f"{shown(name)} cannot name a collection; use 1 to 64 letters, digits, '-', '_' and "
            "'.', for example 'holiday-2024'"
        )
    return normal


async def create(
    connection: Connection, name: str, settings: Mapping[str, Any] | None = None
) -> Collection:
    """Makes a collection. Raises InvalidArgumentError where the name is taken or not valid."""
    made = await _insert(connection, valid_name(name), settings or {})
    if made is None:
        raise InvalidArgumentError(f"there is a collection {shown(name)} already")
    return made


async def get(connection: Connection, name: str) -> Collection:
    """The collection of that name. Raises UnknownNameError with the names that there are."""
    row = await (
        await connection.execute(_SQL["by_name"], {"name": unicodedata.normalize("NFC", name)})
    ).fetchone()
    if row is None:
        raise UnknownNameError("collection", name, await names(connection))
    return Collection(*row)


async def ensure(
    connection: Connection, name: str, settings: Mapping[str, Any] | None = None
) -> Collection:
    """The collection of that name, made where there is none; ``settings`` are for a new one."""
    made = await _insert(connection, valid_name(name), settings or {})
    return made if made is not None else await get(connection, name)


async def change_settings(
    connection: Connection, collection: Collection, settings: Mapping[str, Any]
) -> Collection:
    """Sets the given keys of its settings and leaves the others."""
    row = await (
        await connection.execute(
            _SQL["change_settings"], {"id": collection.id, "settings": Jsonb(dict(settings))}
        )
    ).fetchone()
    return Collection(*_found(row, collection.name))


async def names(connection: Connection) -> list[str]:
    """All names in order."""
    return [str(row[0]) for row in await (await connection.execute(_SQL["names"])).fetchall()]


async def all_collections(connection: Connection) -> list[Collection]:
    """All collections, ordered by name."""
    rows = await (await connection.execute(_SQL["all"])).fetchall()
    return [Collection(*row) for row in rows]


async def overview(connection: Connection) -> list[Overview]:
    """All collections with their counts, ordered by name. Reads all assets: counts are exact."""
    keys: dict[int, list[MetadataKey]] = {}
    for collection_id, key, kind, number, examples in await (
        await connection.execute(_SQL["metadata_keys"])
    ).fetchall():
        keys.setdefault(collection_id, []).append(MetadataKey(key, kind, number, tuple(examples)))
    found = []
    for row in await (await connection.execute(_SQL["overview"])).fetchall():
        assets, passages, done, failed, captured_from, captured_to, encoder = row[4:]
        found.append(
            Overview(
                collection=Collection(*row[:4]),
                assets=assets,
                passages=passages,
                done_sources=done,
                failed_sources=failed,
                captured_from=captured_from,
                captured_to=captured_to,
                encoder=encoder,
                metadata_keys=tuple(keys.get(row[0], ())),
            )
        )
    return found


async def _insert(
    connection: Connection, name: str, settings: Mapping[str, Any]
) -> Collection | None:
    row = await (
        await connection.execute(_SQL["insert"], {"name": name, "settings": Jsonb(dict(settings))})
    ).fetchone()
    return None if row is None else Collection(*row)


def _found(row: TupleRow | None, name: str) -> TupleRow:
    if row is None:
        raise UnknownNameError("collection", name, [])
    return row
