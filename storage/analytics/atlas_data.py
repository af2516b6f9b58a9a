"""Data of a collection map: position, title and color columns of each asset."""

from __future__ import annotations

import asyncio
import math
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray
from pgvector import HalfVector

from sightline.storage.analytics.cluster_analysis import Matrix, normalize_rows
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, fetch_batches, load_sql
from sightline.storage.errors import InvalidArgumentError, MissingExtraError, UnknownNameError
from sightline.storage.records import collections, embedding_spaces

ProjectionMethod = Literal["umap", "pca"]

_SQL = load_sql("atlas")
# A page with more points is too slow in a browser.
_MAX_POINTS = 20_000
#: On a canvas.
_MAX_POSITIONS = 100_000
_MAX_POSITION = 65_535
_BATCH_ROWS = 2_000
#: Vectors from which the axes of a map are computed.
_AXES_ROWS = 10_000
_MAX_COLUMNS = 12
_MAX_CATEGORIES = 200
# Numbers with more distinct values than this become a scale.
_MIN_SCALE_VALUES = 12
_MAX_LABEL_CHARS = 60
_UMAP_NEIGHBORS = 15
_UMAP_SEED = 7


@dataclass(frozen=True, slots=True)
class MapColumn:
    """A column to color by: one value per point, None if missing.

    With ``scale`` the values are numbers (seconds since 1970 with ``times``), else categories.
    """

    name: str
    values: Sequence[float | None] | Sequence[str | None]
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
class CollectionPositions:
    """Where the assets of a collection are on a map, in the order of ``ids``.

    ``points`` is uint16 (n, 2), 0 to 65,535 with one scale for both axes. ``clusters`` is uint16
    (n,): the number of the cluster, 0 without one. The collection has ``total`` vectors.
    """

    collection: str
    encoder: str
    total: int
    ids: Sequence[str]
    points: NDArray[np.uint16]
    clusters: NDArray[np.uint16]


@dataclass(frozen=True, slots=True)
class _Point:
    id: str
    embedding: HalfVector
    source: str
    page: int | None
    frame_seconds: float | None
    caption: str | None
    kind: str
    captured_at: float | None
    metadata: Mapping[str, object]
    cluster: str | None
    total: int

    @property
    def title(self) -> str:
        if self.page is not None:
            return f"{self.source}, page {self.page}"
        if self.frame_seconds is not None:
            return f"{self.source}, {self.frame_seconds:.1f} s"
        return self.source


async def build_map(
    database: Database,
    name: str,
    *,
    color: str | None = None,
    method: ProjectionMethod | None = None,
    max_points: int = _MAX_POINTS,
) -> CollectionMap:
    """Build the map of a collection. The column ``color`` comes first.

    Raises UnknownNameError for an unknown collection or column, InvalidArgumentError for a
    collection without vectors, MissingExtraError if the method is not installed.
    """
    if not 1 <= max_points <= _MAX_POINTS:
        raise InvalidArgumentError(
            f"{max_points} points is out of range. Use 1 to {_MAX_POINTS:,}."
        )
    async with database.connection() as connection:
        collection = await collections.get(connection, name)
        space = await embedding_spaces.find_for_collection(connection, collection.id, "asset")
        points: list[_Point] = []
        if space is not None:
            params = {"collection_id": collection.id, "max_points": max_points}
            points = await fetch_all(connection, space.compose(_SQL["points"]), params, row=_Point)
    if space is None or not points:
        raise _without_vectors(name)
    columns = _columns(points)
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
        total=points[0].total,
        ids=[point.id for point in points],
        points=project(np.stack([point.embedding.to_numpy() for point in points]), method),
        titles=[point.title for point in points],
        captions=[point.caption for point in points],
        columns=columns[:_MAX_COLUMNS],
    )


async def build_positions(
    database: Database, name: str, *, batch_rows: int = _BATCH_ROWS, axes_rows: int = _AXES_ROWS
) -> CollectionPositions:
    """Return the positions of at most 100,000 assets of a collection, by PCA.

    Vectors are read in batches. The first ``axes_rows``, a sample, decide the axes.

    Raises UnknownNameError for an unknown collection, InvalidArgumentError for one without vectors.
    """
    ids: list[str] = []
    clusters: list[int] = []
    waiting: list[Matrix] = []
    points: list[Matrix] = []
    total, axes = 0, None
    async with database.connection() as connection:
        collection = await collections.get(connection, name)
        space = await embedding_spaces.find_for_collection(connection, collection.id, "asset")
        if space is None:
            raise _without_vectors(name)
        params = {"collection_id": collection.id, "max_points": _MAX_POSITIONS}
        query = space.compose(_SQL["positions"])
        async for batch in fetch_batches(connection, query, params, rows=batch_rows):
            ids += (row[0] for row in batch)
            clusters += (row[2] or 0 for row in batch)
            total = batch[0][3]
            waiting.append(await asyncio.to_thread(_directions, [row[1] for row in batch]))
            if axes is None and len(ids) >= axes_rows:
                axes = await asyncio.to_thread(_pca_axes, np.concatenate(waiting))
            if axes is not None:
                points += [_on_axes(each, *axes) for each in waiting]
                waiting.clear()
    if not ids:
        raise _without_vectors(name)
    if waiting:
        rest = np.concatenate(waiting)
        axes = await asyncio.to_thread(_pca_axes, rest)
        points = [_on_axes(rest, *axes)]
    return CollectionPositions(
        collection=collection.name,
        encoder=str(space.identity),
        total=total,
        ids=ids,
        points=np.rint(_in_unit_square(np.concatenate(points)) * _MAX_POSITION).astype(np.uint16),
        clusters=np.minimum(clusters, _MAX_POSITION).astype(np.uint16),
    )


def _without_vectors(name: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"Collection {name!r} has no images with vectors yet.")


def _directions(vectors: Sequence[HalfVector]) -> Matrix:
    return normalize_rows(np.stack([vector.to_numpy() for vector in vectors]))


def _columns(points: Sequence[_Point]) -> list[MapColumn]:
    """Return categories, then scales. Metadata comes before built-in columns."""
    keys = Counter(
        key for point in points for key, value in point.metadata.items() if value is not None
    )
    metadata = (
        _metadata_column(key, [point.metadata.get(key) for point in points])
        for key, _ in keys.most_common()
    )
    moments = [point.captured_at for point in points]
    columns = [
        *(column for column in metadata if column is not None),
        MapColumn("cluster", [point.cluster for point in points]),
        MapColumn("captured_at", moments, scale=True, times=True),
        MapColumn("kind", [point.kind for point in points]),
    ]
    present = [column for column in columns if any(each is not None for each in column.values)]
    return sorted(present, key=lambda column: column.scale)


def _metadata_column(key: str, values: Sequence[object]) -> MapColumn | None:
    """Return a scale for many numbers, categories for few values, else None."""
    present = [value for value in values if value is not None]
    distinct = len({str(value) for value in present})
    if distinct > _MIN_SCALE_VALUES and all(_is_number(value) for value in present):
        numbers = [float(value) if _is_number(value) else None for value in values]
        return MapColumn(key, numbers, scale=True)
    if distinct > _MAX_CATEGORIES or distinct > max(len(present) / 2, 2):
        return None
    return MapColumn(key, [None if value is None else _label(str(value)) for value in values])


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _label(text: str) -> str:
    return text if len(text) <= _MAX_LABEL_CHARS else f"{text[:_MAX_LABEL_CHARS]}…"


def choose_projection(requested: ProjectionMethod | None, count: int) -> ProjectionMethod:
    """Return the requested method, or the best installed one for ``count`` vectors.

    Raises MissingExtraError if UMAP is requested and not installed.
    """
    installed = find_spec("umap") is not None
    if requested == "umap" and not installed:
        raise MissingExtraError("UMAP is not installed.", "atlas")
    if requested is not None:
        return requested
    return "umap" if installed and count > 2 * _UMAP_NEIGHBORS else "pca"


def project(vectors: NDArray[np.floating], method: ProjectionMethod) -> Matrix:
    """Project (n, dimension) vectors by cosine to points (n, 2) in 0..1.

    Both axes have the same scale. Deterministic.
    """
    directions = normalize_rows(vectors)
    return _in_unit_square(_umap(directions) if method == "umap" else _pca(directions))


def _in_unit_square(points: Matrix) -> Matrix:
    low, high = points.min(axis=0), points.max(axis=0)
    size = float((high - low).max()) or 1.0
    return np.asarray((points - (low + high) / 2) / size + 0.5, dtype=np.float32)


def _umap(directions: Matrix) -> Matrix:
    with warnings.catch_warnings():
        # UMAP warns about its own defaults, such as one thread because of the fixed seed.
        warnings.simplefilter("ignore")
        from umap import UMAP

        neighbors = min(_UMAP_NEIGHBORS, len(directions) - 1)
        points = UMAP(
            n_neighbors=neighbors, min_dist=0.1, metric="cosine", random_state=_UMAP_SEED, n_jobs=1
        ).fit_transform(directions)
    return np.asarray(points, dtype=np.float32)


def _pca(directions: Matrix) -> Matrix:
    return _on_axes(directions, *_pca_axes(directions))


def _on_axes(directions: Matrix, mean: Matrix, axes: Matrix) -> Matrix:
    """Return float32 (n, 2): the directions on two axes of shape (dimension, 2)."""
    points = np.zeros((len(directions), 2), dtype=np.float32)
    points[:, : axes.shape[1]] = (directions - mean) @ axes
    return points


def _pca_axes(directions: Matrix) -> tuple[Matrix, Matrix]:
    """Return the mean and the two main axes, of shape (dimension, 2)."""
    # The covariance matrix is small; the matrix of vectors is not.
    mean = directions.mean(axis=0)
    covariance = directions.T @ directions / max(len(directions), 1) - np.outer(mean, mean)
    _, axes = np.linalg.eigh(covariance.astype(np.float64))
    two = axes[:, ::-1][:, :2]
    # The sign of an axis is arbitrary: make its largest component positive.
    two = two * np.sign(two[np.abs(two).argmax(axis=0), range(two.shape[1])])
    return mean, np.asarray(two, dtype=np.float32)
