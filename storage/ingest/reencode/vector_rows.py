"""Rows of a re-encoding: what lacks a vector in a space, and the new vectors."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, LiteralString

from pgvector import HalfVector

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, Row, fetch_all, fetch_one, load_sql
from sightline.storage.errors import ConfigurationError
from sightline.storage.ingest.reencode.space_switch import changed_levels, kept_spaces
from sightline.storage.ingest.reencode.stored_pictures import StoredPicture
from sightline.storage.ingest.stage_types import Vector
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import embedding_spaces
from sightline.storage.records.collections import Collection
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.types import NAME_KINDS, Box, Level

_SQL = load_sql("reencode")
# A vector is stored in the table and in the index, which also has a graph.
_ROW_BYTES = 1400
_BYTES_PER_DIMENSION = 4
_BOX_TOLERANCE = 1e-3
_COUNTS: dict[Level, str] = {
    "asset": "count_assets",
    "region": "count_tiles",
    "passage": "count_passages",
}
_PICTURES: dict[Level, str] = {
    "asset": "assets_without_vector",
    "region": "assets_without_tile_vectors",
}
_INSERT: dict[Level, LiteralString] = {
    "asset": _SQL["insert_asset_vector"],
    "region": _SQL["insert_tile_vector"],
    "passage": _SQL["insert_passage_vector"],
}


@dataclass(frozen=True, slots=True)
class StoredTile:
    """A tile of an asset, with its box."""

    asset_id: str
    region_id: int
    ordinal: int
    x0: float
    y0: float
    x1: float
    y1: float

    def is_at(self, box: Box) -> bool:
        own = (self.x0, self.y0, self.x1, self.y1)
        return all(abs(a - b) <= _BOX_TOLERANCE for a, b in zip(own, box, strict=True))


@dataclass(frozen=True, slots=True)
class UnencodedPassage:
    """A passage without a vector in a space."""

    passage_id: int
    text: str


@dataclass(frozen=True, slots=True)
class VectorCount:
    """How many vectors a collection needs at a level, and how many it has."""

    total: int
    done: int


@dataclass(frozen=True, slots=True)
class NewVector:
    """A vector of an asset, a tile or a passage, by its id."""

    level: Level
    id: str | int
    vector: Vector


async def count(
    connection: Connection, collection: Collection, space: EmbeddingSpace
) -> VectorCount:
    """Count the vectors of a collection in a space."""
    params = {"collection_id": collection.id, "name_kinds": list(NAME_KINDS)}
    statement = space.compose(_SQL[_COUNTS[space.level]])
    found = await fetch_one(connection, statement, params, row=VectorCount)
    return found or VectorCount(0, 0)


async def pictures_to_encode(
    connection: Connection,
    collection: Collection,
    space: EmbeddingSpace,
    *,
    after: str,
    skipped: Iterable[str],
    rows: int,
) -> list[StoredPicture]:
    """Return assets without a vector in the space, or without one of a tile, by id."""
    block = _PICTURES[space.level]
    return await _missing(connection, collection, space, block, StoredPicture, after, skipped, rows)


async def passages_to_encode(
    connection: Connection,
    collection: Collection,
    space: EmbeddingSpace,
    *,
    after: int,
    skipped: Iterable[int],
    rows: int,
) -> list[UnencodedPassage]:
    """Return passages without a vector in the space, by id."""
    block = "passages_without_vector"
    return await _missing(
        connection, collection, space, block, UnencodedPassage, after, skipped, rows
    )


async def _missing(
    connection: Connection,
    collection: Collection,
    space: EmbeddingSpace,
    block: str,
    row: Callable[..., Row],
    after: str | int,
    skipped: Iterable[str | int],
    rows: int,
) -> list[Row]:
    params = {
        "collection_id": collection.id,
        "name_kinds": list(NAME_KINDS),
        "after": after,
        "skipped": list(skipped),
        "rows": rows,
    }
    return await fetch_all(connection, space.compose(_SQL[block]), params, row=row)


async def tiles_of(connection: Connection, asset_ids: Sequence[str]) -> dict[str, list[StoredTile]]:
    """Return the tiles of assets by asset id."""
    tiles: dict[str, list[StoredTile]] = {}
    params = {"assets": list(asset_ids)}
    for row in await fetch_all(connection, _SQL["tiles"], params, row=StoredTile):
        tiles.setdefault(row.asset_id, []).append(row)
    return tiles


async def insert(
    connection: Connection, spaces: Mapping[Level, EmbeddingSpace], vectors: Sequence[NewVector]
) -> None:
    """Insert vectors. Skips those that exist, and those of what was deleted."""
    for level, space in spaces.items():
        values: list[dict[str, Any]] = [
            {"id": each.id, "vector": HalfVector(each.vector)}
            for each in vectors
            if each.level == level
        ]
        if values:
            async with connection.cursor() as cursor:
                await cursor.executemany(space.compose(_INSERT[level]), values)


async def require_disk_space(
    database: Database,
    collection: Collection,
    wanted: Mapping[Level, EncoderIdentity],
    free_bytes: int,
) -> None:
    """Raise ConfigurationError if the missing vectors and their indexes do not fit."""
    needed = 0
    async with database.connection() as connection:
        used = await embedding_spaces.of_collection(connection, collection.id)
        kept = {
            (each.space.level, each.space.identity): each.space
            for each in await kept_spaces(connection, collection.id)
        }
        for level, identity in changed_levels(used, wanted).items():
            begun = kept.get((level, identity))
            found = await count(connection, collection, begun or used[level])
            made = 0 if begun is None else found.done
            row_bytes = _ROW_BYTES + _BYTES_PER_DIMENSION * identity.dimension
            needed += max(0, found.total - made) * row_bytes
    if needed > free_bytes:
        raise ConfigurationError(
            f"The new vectors of {collection.name!r} need about {needed >> 20:,} MiB, and "
            f"{free_bytes >> 20:,} MiB of disk space are free. Free some space and start again."
        )
