"""Find near-duplicates in everything that a selection matches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from psycopg import sql

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.records import embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.records.picture_pairs import Picture
from sightline.storage.retrieval.filters.filter_columns import ASSETS
from sightline.storage.retrieval.filters.search_scope import SearchScope, resolve_scope
from sightline.storage.retrieval.ranking.duplicate_groups import (
    cosine_of,
    group_pictures,
    load_vectors,
)
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import Selection

MAX_COMPARED_ASSETS = 100_000
MAX_GROUPS = 100
MAX_SHOWN_OF_GROUP = 20
_SQL = load_sql("selection")


@dataclass(frozen=True, slots=True)
class DuplicateAsset:
    """An asset of a group; ``distance`` is the cosine distance to the best asset.

    It is exactly 0 for identical bytes, and None if the two have no vectors of one encoder.
    """

    id: str
    distance: float | None
    is_identical: bool


@dataclass(frozen=True, slots=True)
class DuplicateGroup:
    """Near-duplicates, the largest picture first; ``size`` also counts those left out."""

    size: int
    assets: tuple[DuplicateAsset, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class DuplicateGroups:
    """Groups, the largest first; ``next_offset`` is None after the last one.

    ``redundant`` is the number of assets that are not the best of their group.
    """

    groups: tuple[DuplicateGroup, ...]
    total_groups: int
    redundant: int
    compared: int
    next_offset: int | None = None
    notes: tuple[str, ...] = ()


async def find_duplicates(
    database: Database,
    selection: Selection,
    *,
    limit: int = 20,
    offset: int = 0,
    caches: SearchCaches | None = None,
) -> DuplicateGroups:
    """Return groups of identical or nearly identical pictures among all that match.

    Compares at most 100,000 assets, the largest pictures first, which takes some seconds of one
    core in a thread. No connection is held meanwhile.

    Raises UnknownNameError for an unknown collection or filter key, InvalidArgumentError for an
    invalid filter, limit or offset.
    """
    if not 1 <= limit <= MAX_GROUPS:
        raise InvalidArgumentError(f"limit is {shown(limit)}. Use 1 to {MAX_GROUPS}.")
    if not 0 <= offset <= MAX_COMPARED_ASSETS:
        raise InvalidArgumentError(f"offset is {shown(offset)}. Use 0 or a next_offset.")
    async with database.connection(autocommit=True) as connection:
        caches = caches or SearchCaches()
        scope = await resolve_scope(connection, selection, {}, ASSETS, caches)
        pictures, total = await _load_pictures(connection, scope)
        spaces = await embedding_spaces.of_collections(connection, scope.collection_ids)
    connect = partial(database.connection, autocommit=True)
    leaders, is_complete = await group_pictures(pictures, spaces, connect)
    members: dict[int, list[int]] = {}
    for index, leader in enumerate(leaders):
        members.setdefault(leader, []).append(index)
    groups = [indexes for indexes in members.values() if len(indexes) > 1]
    groups.sort(key=lambda indexes: (-len(indexes), indexes[0]))
    notes = scope.notes
    if total > len(pictures):
        notes += (f"Compared {len(pictures):,} of {total:,} assets. Narrow the selection.",)
    if not is_complete:
        notes += ("Too many images are similar to compare all. Narrow the selection.",)
    end = offset + limit
    return DuplicateGroups(
        groups=await _describe(database, pictures, spaces, groups[offset:end]),
        total_groups=len(groups),
        redundant=sum(map(len, groups)) - len(groups),
        compared=len(pictures),
        next_offset=end if end < len(groups) else None,
        notes=notes,
    )


async def _load_pictures(connection: Connection, scope: SearchScope) -> tuple[list[Picture], int]:
    """Return the assets to compare, largest first, and the number that match."""
    rows, parameters = scope.rows("asset")
    statement = sql.SQL(_SQL["comparable_assets"]).format(rows=rows)
    params = {**parameters, "limit": MAX_COMPARED_ASSETS}
    pictures = await fetch_all(connection, statement, params, row=Picture)
    if len(pictures) < MAX_COMPARED_ASSETS:
        return pictures, len(pictures)
    cursor = await connection.execute(sql.SQL(_SQL["count"]).format(rows=rows), parameters)
    ((total,),) = await cursor.fetchall()
    return pictures, total


async def _describe(
    database: Database,
    pictures: Sequence[Picture],
    spaces: Mapping[int, EmbeddingSpace],
    groups: Sequence[Sequence[int]],
) -> tuple[DuplicateGroup, ...]:
    listed = [[pictures[index] for index in group[:MAX_SHOWN_OF_GROUP]] for group in groups]
    async with database.connection(autocommit=True) as connection:
        shown = [each for group in listed for each in group]
        vectors = await load_vectors(connection, shown, spaces)

    def asset(picture: Picture, best: Picture) -> DuplicateAsset:
        if picture.sha256 == best.sha256:
            return DuplicateAsset(picture.id, 0.0, True)
        cosine = cosine_of(picture, best, vectors, spaces)
        distance = None if cosine is None else max(0.0, 1 - cosine)
        return DuplicateAsset(picture.id, distance, False)

    return tuple(
        DuplicateGroup(len(group), tuple(asset(each, shown_group[0]) for each in shown_group))
        for group, shown_group in zip(groups, listed, strict=True)
    )
