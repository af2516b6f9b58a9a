"""Count the local hashes that pictures share, at places that one frame explains."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sightline.storage.picture_hashes.local_hashes import SPOT, UNIT, Spots

_MAX_SPOT_BITS = 10
_MIN_SPOTS = 3  # two places always fit
_MAX_PAIRS = 512
_MAX_SCALE_ERROR, _MAX_PLACE_ERROR = 0.45, 0.05  # octaves, and a share of the longer edge
_PART_SPOTS, _FRAME_VALUES = 2_048, 2**17  # at once, so that they stay in the cache
_NO_BITS = np.uint64(2**64 - 1)


def count_matches(spots: Spots, others: Sequence[Spots]) -> NDArray[np.intp]:
    """Return how many local hashes each of the others shares with a picture.

    The shape is (others,). Only those count that one frame explains: the same scale and offset of
    all places.
    """
    counts = np.zeros(len(others), dtype=np.intp)
    if not len(spots) or not any(map(len, others)):
        return counts
    # Joining bytes is faster than joining records.
    every = np.frombuffer(b"".join(each.tobytes() for each in others), dtype=SPOT)
    own, theirs = _similar(spots, every)
    owner = np.repeat(np.arange(len(others)), [len(each) for each in others])
    sizes = np.bincount(owner[theirs], minlength=len(others))
    order = np.argsort(owner[theirs], kind="stable")
    own, theirs = own[order], theirs[order]
    starts = np.cumsum(sizes) - sizes
    sizes = np.minimum(sizes, _MAX_PAIRS)
    # Similar sizes together, so that little of a block is padding.
    remaining = np.flatnonzero(sizes >= _MIN_SPOTS)
    remaining = remaining[np.argsort(-sizes[remaining], kind="stable")]
    while len(remaining):
        longest = sizes[remaining[0]]
        block = remaining[: max(1, _FRAME_VALUES // longest**2)]
        remaining = remaining[len(block) :]
        columns = np.arange(longest)
        is_pair = columns < sizes[block, None]
        pairs = np.where(is_pair, starts[block, None] + columns, starts[block, None])
        counts[block] = _count_in_frame(spots, every, own[pairs], theirs[pairs], is_pair)
    return counts


def _similar(spots: Spots, others: Spots) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of all pairs of similar local hashes."""
    own, every = (np.ascontiguousarray(each["bits"]) for each in (spots, others))
    found = []
    for start in range(0, len(every), _PART_SPOTS):
        part = every[start : start + _PART_SPOTS]
        is_similar = np.bitwise_count(own[:, None] ^ part) <= _MAX_SPOT_BITS
        row, column = np.divmod(np.flatnonzero(is_similar), len(part))
        found.append((row, column + start))
    rows, columns = zip(*found, strict=True)
    return np.concatenate(rows), np.concatenate(columns)


def _count_in_frame(
    spots: Spots,
    others: Spots,
    own: NDArray[np.intp],
    theirs: NDArray[np.intp],
    is_pair: NDArray[np.bool_],
) -> NDArray[np.intp]:
    """Return how many pairs of spots the best frame explains, shape (pictures,).

    ``own`` and ``theirs`` are places of spots, shape (pictures, pairs); not all ``is_pair``. Each
    pair proposes a frame by its sizes and places.
    """
    ratio = others["size"][theirs].astype(np.float32) / np.maximum(spots["size"][own], 1)
    scale = np.log2(np.maximum(ratio, 1e-6))
    fits = np.abs(scale[:, :, None] - scale[:, None]) < _MAX_SCALE_ERROR
    for name in ("x", "y"):
        here, there = (each.astype(np.float32) for each in (spots[name][own], others[name][theirs]))
        error = ratio[:, :, None] * -here[:, None]
        error += there[:, None]
        error -= (there - ratio * here)[:, :, None]
        fits &= np.abs(error, out=error) < _MAX_PLACE_ERROR * UNIT
    fits &= is_pair[:, None]
    picture = np.arange(len(fits))
    best = fits[picture, np.where(is_pair, fits.sum(axis=2), -1).argmax(axis=1)]
    # Spots along an edge or of a pattern are alike and count once.
    return np.minimum(
        *(
            _count_different(found["bits"][places], best)
            for found, places in ((spots, own), (others, theirs))
        )
    )


def _count_different(bits: NDArray[np.uint64], counted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """Return the number of different counted values of each row, shape (rows,)."""
    values = np.sort(np.where(counted, bits, _NO_BITS), axis=1)
    is_new = values[:, 1:] != values[:, :-1]
    is_value = values != _NO_BITS
    return np.asarray(is_value[:, 0] + (is_new & is_value[:, 1:]).sum(axis=1))
