"""What a map of a collection shows: where each picture lies, what it is, and what to colour by."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from sightline.storage.analytics import projection
from sightline.storage.analytics.kmeans import Matrix
from sightline.storage.analytics.projection import Method
from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection, Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import collections, embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace

_SQL = sql_loader.load("atlas")

#: More would make a page that no browser likes.
MOST_POINTS = 20_000
_MOST_COLUMNS = 12
_MOST_CATEGORIES = 200


@dataclass(frozen=True, slots=True)
class Column:
    """Something to colour by: a value for each point in order, None where it has none.

    Of a scale, values are numbers (seconds since 1970 where ``times``); else they are names.
    """

    name: str
    values: Sequence[str] | Sequence[float | None] | Sequence[str | None]
    scale: bool = False
    times: bool = False


@dataclass(frozen=True, slots=True)
class Map:
    """A collection as points: ``points`` is float32 of (n, 2), 0 to 1, in the order of the ids."""

    collection: str
    encoder: str
    method: Method
    total: int
    ids: Sequence[str]
    points: Matrix
    titles: Sequence[str]
    captions: Sequence[str | None]
    columns: Sequence[Column]


async def lay_out(
    database: Database,
    name: str,
    *,
    colour: str | None = None,
    method: Method | None = None,
    most: int = MOST_POINTS,
) -> Map:
    """Lay out the pictures of a collection. The column of ``colour`` comes first.

    Raises UnknownNameError for a collection or a column that is not there, InvalidArgumentError
    for a collection without vectors, ConfigurationError for a method that is not installed.
    """
    if not 1 <= most <= MOST_POINTS:
        raise InvalidArgumentError(f"{most} points; use 1 to {MOST_POINTS:,}")
    async with database.connection() as connection:
        collection = await collections.get(connection, name)
        space = await embedding_spaces.find_for_collection(connection, collection.id, "asset")
        rows = await _points(connection, space, collection.id, most) if space else []
        if space is None or not rows:
            raise InvalidArgumentError(f"{name!r} has no pictures with vectors yet: nothing to map")
        given = {"collection_id": collection.id, "embedding_space_id": space.id}
        cursor = await connection.execute(space.compose(_SQL["total"]), given)
        ((total,),) = await cursor.fetchall()
        clusters = dict(await (await connection.execute(_SQL["clusters"], given)).fetchall())
    ids, vectors, sources, pages, seconds, captions, kinds, captured, metadata = zip(
        *rows, strict=True
    )
    columns = _columns(metadata, kinds, captured, [clusters.get(each) for each in ids])
    if colour is not None:
        names = [column.name for column in columns]
        if colour not in names:
            raise UnknownNameError("column to colour by", colour, names)
        columns.sort(key=lambda column: column.name != colour)
    chosen = projection.choose(method, len(ids))
    return Map(
        collection.name,
        str(space.identity),
        chosen,
        total,
        ids,
        projection.project(np.stack([vector.to_numpy() for vector in vectors]), chosen),
        [_title(*each) for each in zip(sources, pages, seconds, strict=True)],
        captions,
        columns[:_MOST_COLUMNS],
    )


async def thumbnails(database: Database, ids: Sequence[str]) -> Mapping[str, bytes]:
    """JPEG bytes by asset id; one that has none is left out."""
    async with database.connection() as connection:
        cursor = await connection.execute(_SQL["thumbnails"], {"ids": list(ids)}, binary=True)
        return dict(await cursor.fetchall())


async def _points(
    connection: Connection, space: EmbeddingSpace, collection_id: int, most: int
) -> list[tuple[object, ...]]:
    cursor = await connection.execute(
        space.compose(_SQL["points"]), {"collection_id": collection_id, "most": most}
    )
    return await cursor.fetchall()


def _title(source: str, page: int | None, seconds: float | None) -> str:
    if page is not None:
        return f"{source}, page {page}"
    return source if seconds is None else f"{source}, {seconds:.1f} s"


def _columns(
    metadata: Sequence[Mapping[str, object]],
    kinds: Sequence[str],
    captured: Sequence[datetime | None],
    clusters: Sequence[int | None],
) -> list[Column]:
    """Keys of the metadata by how many pictures have them, then what we know ourselves."""
    keys = Counter(key for each in metadata for key, value in each.items() if value is not None)
    found = [_of_key(key, [each.get(key) for each in metadata]) for key, _ in keys.most_common()]
    columns = [column for column in found if column is not None]
    if any(number is not None for number in clusters):
        names = [None if number is None else f"cluster {number}" for number in clusters]
        columns.append(Column("cluster", names))
    if any(captured):
        moments = [None if each is None else each.timestamp() for each in captured]
        columns.append(Column("captured_at", moments, scale=True, times=True))
    columns.append(Column("kind", kinds))
    return sorted(columns, key=lambda column: column.scale)  # categories first


def _of_key(key: str, values: Sequence[object]) -> Column | None:
    """Numbers of many kinds make a scale, few values make categories, others say nothing."""
    present = [value for value in values if value is not None]
    distinct = len({str(value) for value in present})
    if distinct > _USUAL_CATEGORIES and all(_is_number(value) for value in present):
        return Column(key, [_number(value) for value in values], scale=True)
    if distinct > _MOST_CATEGORIES or distinct > max(len(present) / 2, 2):
        return None
    return Column(key, [None if value is None else _shown(value) for value in values])


_USUAL_CATEGORIES = 12
_SHOWN_CHARS = 60


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _shown(value: object) -> str:
    text = value if isinstance(value, str) else str(value)
    return text if len(text) <= _SHOWN_CHARS else f"{text[:_SHOWN_CHARS]}…"
