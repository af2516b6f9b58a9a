"""Data of a collection map: position, title and color columns of each asset."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from pgvector import HalfVector

from sightline.storage.analytics.vector_math import (
    Matrix,
    ProjectionMethod,
    choose_projection,
    project,
)
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, fetch_value, load_sql
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.records import assets, collections, embedding_spaces

_SQL = load_sql("atlas")

#: A page with more points is too slow in a browser.
MAX_POINTS = 20_000
_MAX_COLUMNS = 12
_MAX_CATEGORIES = 200
# Numbers with more distinct values than this become a scale.
_MIN_SCALE_VALUES = 12
_MAX_LABEL_CHARS = 60


@dataclass(frozen=True, slots=True)
class MapColumn:
    """A column to color by: one value per point, None if missing.

    With ``scale`` the values are numbers (seconds since 1970 with ``times``), else categories.
    """

    name: str
    values: Sequence[str] | Sequence[float | None] | Sequence[str | None]
    scale: bool = False
    times: bool = False


@dataclass(frozen=True, slots=True)
class CollectionMap:
    """A collection as points, float32 (n, 2) in 0..1, in the order of ``ids``."""

    collection: str
    encoder: str
    method: ProjectionMethod
    total: int
    ids: Sequence[str]
    points: Matrix
    titles: Sequence[str]
    captions: Sequence[str | None]
    columns: Sequence[MapColumn]


@dataclass(frozen=True, slots=True)
class _Point:
    id: str
    embedding: HalfVector
    source: str
    page: int | None
    frame_seconds: float | None
    caption: str | None
    kind: str
    captured_at: datetime | None
    metadata: Mapping[str, object]

    @property
    def title(self) -> str:
        if self.page is not None:
            return f"{self.source}, page {self.page}"
        if self.frame_seconds is not None:
            return f"{self.source}, {self.frame_seconds:.1f} s"
        return self.source


@dataclass(frozen=True, slots=True)
class _Member:
    asset_id: str
    number: int


async def build_map(
    database: Database,
    name: str,
    *,
    color: str | None = None,
    method: ProjectionMethod | None = None,
    max_points: int = MAX_POINTS,
) -> CollectionMap:
    """Build the map of a collection. The column ``color`` comes first.

    Raises UnknownNameError for an unknown collection or column, InvalidArgumentError for a
    collection without vectors, ConfigurationError if the method is not installed.
    """
    if not 1 <= max_points <= MAX_POINTS:
        raise InvalidArgumentError(f"{max_points} points is out of range. Use 1 to {MAX_POINTS:,}.")
    async with database.connection() as connection:
        collection = await collections.get(connection, name)
        space = await embedding_spaces.find_for_collection(connection, collection.id, "asset")
        points: list[_Point] = []
        if space is not None:
            key = {"collection_id": collection.id, "embedding_space_id": space.id}
            params = {**key, "max_points": max_points}
            points = await fetch_all(connection, space.compose(_SQL["points"]), params, row=_Point)
        if space is None or not points:
            raise InvalidArgumentError(f"Collection {name!r} has no images with vectors yet.")
        total = await fetch_value(connection, space.compose(_SQL["total"]), key)
        members = await fetch_all(connection, _SQL["clusters"], key, row=_Member)
    columns = _columns(points, {member.asset_id: member.number for member in members})
    if color is not None:
        names = [column.name for column in columns]
        if color not in names:
            raise UnknownNameError("column to color by", color, names)
        columns.sort(key=lambda column: column.name != color)
    method = choose_projection(method, len(points))
    return CollectionMap(
        collection=collection.name,
        encoder=str(space.identity),
        method=method,
        total=total,
        ids=[point.id for point in points],
        points=project(np.stack([point.embedding.to_numpy() for point in points]), method),
        titles=[point.title for point in points],
        captions=[point.caption for point in points],
        columns=columns[:_MAX_COLUMNS],
    )


async def thumbnails(database: Database, ids: Sequence[str]) -> Mapping[str, bytes]:
    """Return thumbnail JPEGs by asset id, without missing ones."""
    async with database.connection() as connection:
        return await assets.thumbnails(connection, ids)


def _columns(points: Sequence[_Point], clusters: Mapping[str, int]) -> list[MapColumn]:
    """Return metadata columns, most frequent first, then the built-in columns."""
    keys = Counter(
        key for point in points for key, value in point.metadata.items() if value is not None
    )
    candidates = [
        _metadata_column(key, [point.metadata.get(key) for point in points])
        for key, _ in keys.most_common()
    ]
    columns = [column for column in candidates if column is not None]
    numbers = [clusters.get(point.id) for point in points]
    if any(number is not None for number in numbers):
        names = [None if number is None else f"cluster {number}" for number in numbers]
        columns.append(MapColumn("cluster", names))
    if any(point.captured_at for point in points):
        moments = [
            None if point.captured_at is None else point.captured_at.timestamp() for point in points
        ]
        columns.append(MapColumn("captured_at", moments, scale=True, times=True))
    columns.append(MapColumn("kind", [point.kind for point in points]))
    return sorted(columns, key=lambda column: column.scale)  # categories first


def _metadata_column(key: str, values: Sequence[object]) -> MapColumn | None:
    """Return a scale for many numbers, categories for few values, else None."""
    present = [value for value in values if value is not None]
    distinct = len({str(value) for value in present})
    if distinct > _MIN_SCALE_VALUES and all(_is_number(value) for value in present):
        return MapColumn(key, [_to_number(value) for value in values], scale=True)
    if distinct > _MAX_CATEGORIES or distinct > max(len(present) / 2, 2):
        return None
    return MapColumn(key, [None if value is None else _label(value) for value in values])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _to_number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _label(value: object) -> str:
    text = str(value)
    return text if len(text) <= _MAX_LABEL_CHARS else f"{text[:_MAX_LABEL_CHARS]}…"
