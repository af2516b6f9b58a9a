"""Judge which pictures show the same, and store the pairs of new assets.

A pair is judged by its text if both pictures have text, else by the local hashes that they share
and by their vectors. An ingest stores what it finds, so that a search only reads it.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sightline.storage.db.queries import Connection, load_sql
from sightline.storage.db.row_locks import RowLock, lock
from sightline.storage.picture_hashes import (
    Spots,
    count_matches,
    turn_hashes,
    turn_spots,
    unpack_spots,
)
from sightline.storage.records import embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace

SAME_BITS = 6
SIMILAR_BITS = 12
"""Of 319 photographs, product pictures and screenshots, the nearest two differ in 7 of 63 bits."""
MIN_SPOTS = 8
"""Fewer local hashes confirm nothing."""
NEAR_IDENTICAL = 0.97
"""Cosine from which two images are near-identical (a crop or another exposure)."""
MAX_DUPLICATES = 10
"""Near-duplicates that a hit lists, and that are stored of an asset for each collection."""
_MIN_MATCHES = 4
_MIN_SAME_SHARE = 0.25
_MIN_SIMILAR_SHARE, _MIN_SIMILAR_COSINE = 0.5, 0.9
_MAX_COMPARED = 1_000  # assets with the same symmetric hash
_PAIRS_OF_CHUNK = 2_000  # their vectors and local hashes take 12 MB
_LOCK_SECONDS = 3600.0  # as long as the writer of a batch waits for the collection
_SQL = load_sql("picture_pairs")

Spaces = Mapping[int, EmbeddingSpace]
"""The embedding space of whole images, by collection id."""


@dataclass(frozen=True, slots=True)
class Picture:
    """An asset to compare; a plain picture has no hashes."""

    id: str
    collection_id: int
    sha256: bytes
    perceptual_hash: int | None
    symmetric_hash: int | None


class CandidatePair(NamedTuple):
    """The ids of two pictures and their collections.

    Turned to ``orientation``, the perceptual hash of the other differs in ``bits``.
    """

    one: str
    other: str
    bits: int
    orientation: int
    collection: int
    other_collection: int


class _SameHash(NamedTuple):
    """A picture with the symmetric hash of a new one; sorted by id."""

    id: str
    collection_id: int
    perceptual_hash: int
    symmetric_hash: int
    is_new: bool


def confirms(bits: int, matches: int, spots: int, cosine: float) -> bool:
    """Return whether two pictures show the same.

    ``bits`` differ in their perceptual hashes; they share ``matches`` of at least ``spots`` local
    hashes each. ``cosine`` of their vectors decides for pictures with little structure.
    """
    if spots < MIN_SPOTS:
        return bits <= SAME_BITS and cosine >= NEAR_IDENTICAL
    if bits <= SAME_BITS:
        return matches >= _MIN_SAME_SHARE * spots
    return matches >= _MIN_MATCHES


def are_near_duplicates(bits: int, matches: int, spots: int, cosine: float) -> bool:
    """Return whether a candidate pair shows the same, if text does not tell.

    ``matches`` of at least ``spots`` local hashes each are shared. ``cosine`` is that of the
    vectors, 0 if there are none; a higher one never makes a pair less near.
    """
    if spots < MIN_SPOTS or bits <= SAME_BITS:
        return confirms(bits, matches, spots, cosine)
    return matches >= _MIN_SIMILAR_SHARE * spots and cosine >= _MIN_SIMILAR_COSINE


async def store_pairs(connection: Connection, ids: Sequence[str]) -> None:
    """Find the near-duplicates of new or changed assets in all collections.

    Runs in the transaction that writes them. Compares those with the same symmetric hash: nearly
    all that are not cut. Of each collection, the nearest are stored.
    """
    if not ids:
        return
    # One after another: two transactions would not see the new assets of each other.
    await lock(connection, RowLock("picture_pairs", "the comparison of pictures", _LOCK_SECONDS))
    params = {"ids": list(ids), "max_compared": _MAX_COMPARED}
    await connection.execute(_SQL["delete_pairs"], params)
    cursor = await connection.execute(_SQL["same_hash"], params, binary=True)
    pairs = _nearest([_SameHash(*row) for row in await cursor.fetchall()])
    judged = await judge_pairs(connection, pairs)
    found = [pair for pair, is_near in zip(pairs, judged, strict=True) if is_near]
    if found:
        await connection.execute(_SQL["insert_pairs"], _ids_of(found))


def _nearest(rows: Sequence[_SameHash]) -> list[CandidatePair]:
    """Return the nearest of each collection to each new picture; each pair once."""
    groups: defaultdict[int, list[_SameHash]] = defaultdict(list)
    for row in sorted(rows):
        groups[row.symmetric_hash].append(row)
    nearest: dict[frozenset[str], CandidatePair] = {}
    for group in groups.values():
        for pair in _nearest_of_group(group):
            nearest.setdefault(frozenset(pair[:2]), pair)
    return list(nearest.values())


def _nearest_of_group(group: Sequence[_SameHash]) -> Iterator[CandidatePair]:
    hashes = np.array([each.perceptual_hash for each in group], dtype=np.int64).view(np.uint64)
    new = np.flatnonzero([each.is_new for each in group])
    turned = turn_hashes(hashes)
    bits = np.full((len(new), len(group)), 64, dtype=np.uint8)
    turns = np.zeros_like(bits)
    for turn in range(len(turned)):
        distances = np.bitwise_count(turned[turn] ^ hashes[new, None])
        is_nearer = distances < bits
        bits[is_nearer], turns[is_nearer] = distances[is_nearer], turn
    bits[np.arange(len(new)), new] = 64  # itself
    rows, others = np.nonzero(bits <= SIMILAR_BITS)
    collections = np.array([each.collection_id for each in group])[others]
    order = np.lexsort((others, bits[rows, others], collections, rows))
    rows, others, collections = rows[order], others[order], collections[order]
    is_first = np.ones(len(order), dtype=bool)
    is_first[1:] = (np.diff(rows) != 0) | (np.diff(collections) != 0)
    firsts = np.flatnonzero(is_first)
    ranks = np.arange(len(order)) - firsts[np.cumsum(is_first) - 1]
    for place in np.flatnonzero(ranks < MAX_DUPLICATES).tolist():
        row, column = rows[place], others[place]
        one, other = group[new[row]], group[column]
        yield CandidatePair(
            one.id,
            other.id,
            int(bits[row, column]),
            int(turns[row, column]),
            one.collection_id,
            other.collection_id,
        )


async def judge_pairs(
    connection: Connection, pairs: Sequence[CandidatePair], spaces: Spaces | None = None
) -> list[bool]:
    """Return for each pair whether the two are near-duplicates.

    Without ``spaces``, those of the collections are read if vectors decide.
    """
    judged: list[bool] = []
    for start in range(0, len(pairs), _PAIRS_OF_CHUNK):
        judged += await _judge_chunk(connection, pairs[start : start + _PAIRS_OF_CHUNK], spaces)
    return judged


async def _judge_chunk(
    connection: Connection, pairs: Sequence[CandidatePair], spaces: Spaces | None
) -> list[bool]:
    judged = await _same_texts(connection, pairs)
    undecided = [index for index, same in enumerate(judged) if same is None]
    shared = await _shared_spots(connection, [pairs[index] for index in undecided])
    unclear: list[tuple[int, int, int]] = []
    for index, (matches, spots) in zip(undecided, shared, strict=True):
        bits = pairs[index].bits
        judged[index] = are_near_duplicates(bits, matches, spots, cosine=0.0)
        if not judged[index] and are_near_duplicates(bits, matches, spots, cosine=1.0):
            unclear.append((index, matches, spots))
    cosines = await _cosines(connection, [pairs[index] for index, *_ in unclear], spaces)
    for (index, matches, spots), cosine in zip(unclear, cosines, strict=True):
        judged[index] = are_near_duplicates(pairs[index].bits, matches, spots, cosine)
    return [bool(each) for each in judged]


async def _same_texts(connection: Connection, pairs: Sequence[CandidatePair]) -> list[bool | None]:
    """Return for each pair whether the texts are the same, None if that is unknown."""
    cursor = await connection.execute(_SQL["same_texts"], _ids_of(pairs))
    return [same for (same,) in await cursor.fetchall()]


async def _shared_spots(
    connection: Connection, pairs: Sequence[CandidatePair]
) -> list[tuple[int, int]]:
    """Return the local hashes of each pair: the shared ones, and the smaller number."""
    if not pairs:
        return []
    local = await local_hashes(connection, [*{id_ for pair in pairs for id_ in pair[:2]}])
    none = unpack_spots(None)
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        places[pair.one].append(place)

    def count() -> list[tuple[int, int]]:
        counts = [(0, 0)] * len(pairs)
        for id_, own_places in places.items():  # one call for all others of a picture
            own = local.get(id_, none)
            others = [
                turn_spots(local.get(pairs[place].other, none), pairs[place].orientation)
                for place in own_places
            ]
            for place, other, matches in zip(
                own_places, others, count_matches(own, others).tolist(), strict=True
            ):
                counts[place] = matches, min(len(own), len(other))
        return counts

    return await asyncio.to_thread(count)


async def _cosines(
    connection: Connection, pairs: Sequence[CandidatePair], spaces: Spaces | None
) -> list[float]:
    """Return the cosine of each pair; 0 if there are no vectors of one encoder."""
    cosines = [0.0] * len(pairs)
    if spaces is None and pairs:
        collections = {each for pair in pairs for each in (pair.collection, pair.other_collection)}
        spaces = await embedding_spaces.of_collections(connection, sorted(collections))
    places: defaultdict[EmbeddingSpace, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        own, other = (spaces or {}).get(pair.collection), (spaces or {}).get(pair.other_collection)
        if own is not None and own == other:
            places[own].append(place)
    for space, own_places in places.items():
        compared = [pairs[place] for place in own_places]
        cursor = await connection.execute(space.compose(_SQL["cosines"]), _ids_of(compared))
        for place, cosine in zip(own_places, await cursor.fetchall(), strict=True):
            cosines[place] = cosine[0] or 0.0
    return cosines


async def local_hashes(connection: Connection, ids: Sequence[str]) -> dict[str, Spots]:
    """Return the local hashes of assets by id."""
    cursor = await connection.execute(_SQL["local_hashes"], {"ids": list(ids)}, binary=True)
    return {id_: unpack_spots(local) for id_, local in await cursor.fetchall()}


def _ids_of(pairs: Sequence[CandidatePair]) -> dict[str, list[str]]:
    return {"ones": [each.one for each in pairs], "others": [each.other for each in pairs]}
