"""Collections: named sets of material."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from psycopg.types.json import Jsonb

from sightline.storage.db.queries import Connection, fetch_all, fetch_one, fetch_values, load_sql
from sightline.storage.errors import InvalidArgumentError, UnknownNameError, shown
from sightline.storage.unicode_forms import normalize_name

_SQL = load_sql("collections")
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection. ``settings``: declared metadata keys, OCR mode and the like."""

    id: int
    name: str
    settings: Mapping[str, Any]
    created_at: datetime


@dataclass(frozen=True, slots=True)
class MetadataKey:
    """A metadata key in use.

    ``type`` is the JSON type of the values or ``mixed``. ``examples`` have at most 60 characters.
    """

    collection_id: int
    key: str
    type: str
    assets: int
    examples: Sequence[str]


@dataclass(frozen=True, slots=True)
class CollectionOverview(Collection):
    """A collection with its counts."""

    assets: int
    passages: int
    done_sources: int
    failed_sources: int
    captured_from: datetime | None
    captured_to: datetime | None
    encoder: str | None
    metadata_keys: tuple[MetadataKey, ...] = ()


def validate_name(name: str) -> str:
    """Return the name in Unicode form NFC.

    Raises InvalidArgumentError unless it has 1 to 64 letters and digits of any script, ``_``,
    ``.`` and ``-``, and starts with a letter, digit or ``_``: it must need no quotes in a URI or
    a shell.
    """
    normalized = normalize_name(name)
    if _NAME.fullmatch(normalized) is None:
        raise InvalidArgumentError(
            f"{shown(name)} cannot name a collection. Use 1 to 64 letters, digits, '-', '_' and "
            "'.', for example 'holiday-2024'."
        )
    return normalized


async def get(connection: Connection, name: str) -> Collection:
    """Return a collection by name. Raises UnknownNameError."""
    params = {"name": normalize_name(name)}
    found = await fetch_one(connection, _SQL["get"], params, row=Collection)
    if found is None:
        raise UnknownNameError("collection", name, await names(connection))
    return found


async def ensure(
    connection: Connection, name: str, settings: Mapping[str, Any] | None = None
) -> Collection:
    """Return the collection; create it with ``settings`` if missing."""
    params = {"name": validate_name(name), "settings": Jsonb(dict(settings or {}))}
    created = await fetch_one(connection, _SQL["insert"], params, row=Collection)
    return created if created is not None else await get(connection, name)


async def update_settings(
    connection: Connection, collection: Collection, settings: Mapping[str, Any]
) -> Collection:
    """Set the given settings and keep the others."""
    params = {"id": collection.id, "settings": Jsonb(dict(settings))}
    updated = await fetch_one(connection, _SQL["update_settings"], params, row=Collection)
    if updated is None:
        raise UnknownNameError("collection", collection.name, await names(connection))
    return updated


async def names(connection: Connection) -> list[str]:
    """Return all names in order."""
    return await fetch_values(connection, _SQL["names"])


async def list_collections(connection: Connection) -> list[Collection]:
    """Return all collections, ordered by name."""
    return await fetch_all(connection, _SQL["list"], row=Collection)


async def list_page(connection: Connection, *, after: str, limit: int) -> tuple[list[int], int]:
    """Return ids of collections after a name, and how many more there are."""
    params = {"after": normalize_name(after), "limit": limit}
    rows: list[dict[str, int]] = await fetch_all(connection, _SQL["page"], params, row=dict)
    return [row["id"] for row in rows], max(0, rows[0]["more"]) if rows else 0


async def list_overviews(
    connection: Connection, ids: Sequence[int] | None = None
) -> list[CollectionOverview]:
    """Return collections with exact counts by name; None: all collections."""
    params = {"ids": None if ids is None else list(ids)}
    rows = await fetch_all(connection, _SQL["metadata_keys"], params, row=MetadataKey)
    keys = {id_: tuple(group) for id_, group in groupby(rows, lambda row: row.collection_id)}
    overviews = await fetch_all(connection, _SQL["overviews"], params, row=CollectionOverview)
    return [replace(each, metadata_keys=keys.get(each.id, ())) for each in overviews]
