"""Rows of vectors as Postgres takes them in a binary COPY, packed by numpy."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from sightline.storage.ingest.ingest_items import Vector

Key = tuple[str | None, int | None, int | None]
"""Ids of asset, region and passage."""

_SIGNATURE = b"PGCOPY\n\xff\r\n\0" + bytes(8)  # then flags and the length of an extension: none
_TRAILER = b"\xff\xff"
_LARGEST_HALF = 65504.0


def embedding_rows(
    embedding_space_id: int,
    collection_id: int,
    rows: Sequence[tuple[Key, Vector]],
) -> bytes:
    """A key and a vector each, as a whole binary COPY of ``embedding``.

    Twenty times as fast as adapting row by row. Asset ids have 12 characters of ASCII.
    """
    keys = [key for key, _ in rows]
    data = np.stack([vector for _, vector in rows])
    return b"".join(
        [
            _SIGNATURE,
            *(
                _packed(embedding_space_id, collection_id, keys, data, present)
                for present in product((False, True), repeat=3)
            ),
            _TRAILER,
        ]
    )


def _packed(
    embedding_space_id: int,
    collection_id: int,
    keys: Sequence[Key],
    data: NDArray[np.float32],
    present: tuple[bool, ...],
) -> bytes:
    """The rows that have just these ids of a key: rows of one shape are one array."""
    chosen = [at for at, key in enumerate(keys) if tuple(id_ is not None for id_ in key) == present]
    if not chosen:
        return b""
    dimension = data.shape[1]
    has_asset, has_region, has_passage = present
    fields = [("columns", ">i2"), ("l0", ">i4"), ("space", ">i4"), ("l1", ">i4"), ("coll", ">i4")]
    fields += [("l2", ">i4"), ("asset", "S12")] if has_asset else [("l2", ">i4")]
    fields += [("l3", ">i4"), ("region", ">i8")] if has_region else [("l3", ">i4")]
    fields += [("l4", ">i4"), ("passage", ">i8")] if has_passage else [("l4", ">i4")]
    fields += [("l5", ">i4"), ("dimension", ">i2"), ("unused", ">i2")]
    rows = np.zeros(len(chosen), dtype=[*fields, ("vector", ">f2", (dimension,))])
    rows["columns"] = 6
    rows["l0"] = rows["l1"] = 4
    rows["space"], rows["coll"] = embedding_space_id, collection_id
    rows["l2"] = 12 if has_asset else -1
    rows["l3"] = 8 if has_region else -1
    rows["l4"] = 8 if has_passage else -1
    if has_asset:
        rows["asset"] = [keys[at][0] for at in chosen]
    if has_region:
        rows["region"] = [keys[at][1] for at in chosen]
    if has_passage:
        rows["passage"] = [keys[at][2] for at in chosen]
    rows["l5"] = 4 + 2 * dimension
    rows["dimension"] = dimension
    rows["vector"] = np.clip(data[chosen], -_LARGEST_HALF, _LARGEST_HALF)
    return rows.tobytes()
