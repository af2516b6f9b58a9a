"""Collections: named sets of material."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from psycopg import errors
from psycopg.types.json import Jsonb

from sightline.storage.db.queries import Connection, fetch_all, fetch_one, fetch_values, load_sql
from sightline.storage.errors import InvalidArgumentError, UnknownNameError, shown
from sightline.storage.records.filter_keys import MAX_METADATA_DEPTH, metadata_name
from sightline.storage.unicode_forms import normalize_name

logger = logging.getLogger(__name__)

_SQL = load_sql("collections")
# Of one collection, and of all collections of one call: metadata has up to 65,536 characters.
_MIN_SAMPLED_ASSETS = 20
_MAX_SAMPLED_ASSETS = 1_000
_MAX_SAMPLED_ASSETS_OF_ALL = 5_000
_MAX_METADATA_KEYS = 400
_METADATA_KEYS_TIMEOUT = "5s"
MAX_DESCRIPTION_CHARS = 500
_DESCRIPTION_SETTING = "description"
_NAME = re.compile(r"\w[\w.-]{0,63}")


@dataclass(frozen=True, slots=True)
class Collection:
    """A collection. ``settings``: declared metadata keys, OCR mode and the like."""

    id: int
    name: str
    settings: Mapping[str, Any]
    created_at: datetime

    @property
    def description(self) -> str:
        """Return what people and agents should know about the material."""
        return str(self.settings.get(_DESCRIPTION_SETTING, ""))


@dataclass(frozen=True, slots=True)
class MetadataKey:
    """A metadata key in use, as a filter writes it, such as ``camera.make``.

    ``type`` is the JSON type of the values or ``mixed``. ``assets`` is estimated in a large
    collection. ``examples`` have at most 60 characters.
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
    source_bytes: int
    captured_from: datetime | None
    captured_to: datetime | None
    encoder: str | None
    #: The most frequent ones, None if it took too long to find them.
    metadata_keys: tuple[MetadataKey, ...] | None = ()
    #: Number of all keys that were found.
    found_metadata_keys: int = 0


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
    connection: Connection,
    collection: Collection,
    settings: Mapping[str, Any],
    removed: Sequence[str] = (),
) -> Collection:
    """Set the given settings, remove others, and keep the rest."""
    params = {
        "id": collection.id,
        "settings": Jsonb(dict(settings)),
        "removed": list(removed),
    }
    updated = await fetch_one(connection, _SQL["update_settings"], params, row=Collection)
    if updated is None:
        raise UnknownNameError("collection", collection.name, await names(connection))
    return updated


async def describe(connection: Connection, collection: Collection, text: str) -> Collection:
    """Set the description; an empty text removes it.

    Raises InvalidArgumentError if it is too long.
    """
    text = " ".join(text.split())
    if len(text) > MAX_DESCRIPTION_CHARS:
        raise InvalidArgumentError(
            f"The description has {len(text):,} characters; use at most {MAX_DESCRIPTION_CHARS}."
        )
    if not text:
        return await update_settings(connection, collection, {}, [_DESCRIPTION_SETTING])
    return await update_settings(connection, collection, {_DESCRIPTION_SETTING: text})


async def rename(connection: Connection, collection: Collection, name: str) -> Collection:
    """Give a collection another name; everything else stays.

    The log of searches gets the name, too. Raises InvalidArgumentError for a name that is invalid
    or in use.
    """
    params = {"id": collection.id, "name": validate_name(name)}
    try:
        renamed = await fetch_one(connection, _SQL["rename"], params, row=Collection)
    except errors.UniqueViolation as error:
        raise InvalidArgumentError(
            f"There is a collection {params['name']!r} already. Choose another name, or delete it "
            "first."
        ) from error
    if renamed is None:
        raise UnknownNameError("collection", collection.name, await names(connection))
    if renamed.name != collection.name:
        logged = {"before": collection.name, "name": renamed.name}
        await connection.execute(_SQL["rename_in_log"], logged)
    return renamed


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


async def list_counts(
    connection: Connection, ids: Sequence[int] | None = None
) -> list[CollectionOverview]:
    """Return collections with exact counts by name, without metadata keys; None: all."""
    params = {"ids": None if ids is None else list(ids)}
    return await fetch_all(connection, _SQL["overviews"], params, row=CollectionOverview)


async def list_overviews(
    connection: Connection, ids: Sequence[int] | None = None
) -> list[CollectionOverview]:
    """Return collections with exact counts by name; None: all collections.

    The metadata keys are those of the first assets of each collection.
    """
    overviews = await list_counts(connection, ids)
    try:
        # Rolled back, which restores the time limit of the connection.
        async with connection.transaction(force_rollback=True):
            sampled = await _sample_metadata_keys(connection, overviews)
    except errors.QueryCanceled:
        logger.warning("reading the metadata keys took longer than %s", _METADATA_KEYS_TIMEOUT)
        return [replace(each, metadata_keys=None) for each in overviews]
    return [_with_keys(each, sampled.get(each.id, [])) for each in overviews]


@dataclass(frozen=True, slots=True)
class _SampledKey:
    collection_id: int
    path: Sequence[str]
    type: str
    assets: int
    examples: Sequence[str]
    sampled_assets: int
    found: int


async def _sample_metadata_keys(
    connection: Connection, overviews: Sequence[CollectionOverview]
) -> dict[int, list[_SampledKey]]:
    """Return metadata keys by collection, from a sample that bounds the work."""
    await connection.execute(_SQL["limit_time"], {"timeout": _METADATA_KEYS_TIMEOUT})
    share = _MAX_SAMPLED_ASSETS_OF_ALL // max(1, len(overviews))
    params = {
        "ids": [each.id for each in overviews],
        "sampled_assets": min(max(share, _MIN_SAMPLED_ASSETS), _MAX_SAMPLED_ASSETS),
        "max_keys": _MAX_METADATA_KEYS,
        "max_depth": MAX_METADATA_DEPTH,
    }
    rows = await fetch_all(connection, _SQL["metadata_keys"], params, row=_SampledKey)
    return {id_: list(group) for id_, group in groupby(rows, lambda row: row.collection_id)}


def _with_keys(overview: CollectionOverview, sampled: Sequence[_SampledKey]) -> CollectionOverview:
    """Add the keys, with the estimated number of assets of the whole collection."""
    keys = tuple(
        MetadataKey(
            each.collection_id,
            metadata_name(each.path),
            each.type,
            round(each.assets * max(1, overview.assets / each.sampled_assets)),
            each.examples,
        )
        for each in sampled
    )
    return replace(
        overview, metadata_keys=keys, found_metadata_keys=sampled[0].found if sampled else 0
    )
