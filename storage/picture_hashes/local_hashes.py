"""Find spots of a picture and hash what is around them: the local hashes."""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from sightline.storage.picture_hashes.frequencies import (
    FREQUENCIES,
    Floats,
    cosines,
    inverted,
    turns,
)

_MAX_SPOTS = 64
_OCTAVES, _LEVELS = 3, 3  # levels of an octave that have spots; three more surround them
_FIRST_BLUR = 1.6
_MIN_CONTRAST, _MIN_SHARE = 0.5, 0.5  # of 255, and of the deviation
_MAX_EDGE_RATIO = 40.0  # of the two curvatures; 10, as usual, loses spots of cut photographs
_MIN_WEIGHT = 1e-9  # of a pixel in a blur
_REACH = 4.0  # of a blur, in deviations
_BLOCK_ROWS = 16  # of 128 values: OpenBLAS uses threads from 4 * 65,536 multiplications
_PATCH_EDGE = 12
_PATCH_RADIUS = 5.0  # times the blur of the level
_SPOT_BITS = 48

SPOT = np.dtype([("bits", "<u8"), ("x", "<u2"), ("y", "<u2"), ("size", "<u2")])
UNIT = 65_535
Spots = NDArray[np.void]
"""Local hashes: ``bits``, and place and ``size`` as shares of the longer edge times 65,535."""


def unpack_spots(local: bytes | None) -> Spots:
    """Return stored local hashes, shape (n,)."""
    count = min(len(local or b"") // SPOT.itemsize, _MAX_SPOTS)
    return np.frombuffer(local or b"", dtype=SPOT, count=count)


def turn_spots(spots: Spots, orientation: int) -> Spots:
    """Return the local hashes in an orientation, numbered as in `orientations`.

    Places are then relative to each other only.
    """
    if not orientation:
        return spots
    is_turned, mirrored_rows, mirrored_columns = turns()[orientation]
    turned = spots.copy()
    flat = np.zeros((len(spots), FREQUENCIES**2), dtype=np.uint8)
    octets = np.ascontiguousarray(spots["bits"]).view(np.uint8).reshape(len(spots), 8)
    flat[:, _low_places()] = np.unpackbits(octets[:, : _SPOT_BITS // 8], axis=1)
    square = flat.reshape(len(spots), FREQUENCIES, FREQUENCIES)
    if is_turned:
        square = square.transpose(0, 2, 1)
        turned["x"], turned["y"] = spots["y"], spots["x"]
    square = square ^ inverted(mirrored_rows, mirrored_columns)
    for name, is_mirrored in (("y", mirrored_rows), ("x", mirrored_columns)):
        if is_mirrored:
            turned[name] = UNIT - turned[name]
    turned["bits"] = _packed(square.reshape(len(spots), FREQUENCIES**2)[:, _low_places()])
    return turned


def find_spots(gray: NDArray[np.uint8]) -> Spots:
    """Return the local hashes of a gray picture (height, width), shape (n,).

    Spots are extrema of differences of Gaussians (Lowe 2004), the ones of most contrast first. The
    hash of a spot has the signs of the lowest frequencies around it.
    """
    level = gray.astype(np.float32)
    edge = max(level.shape)
    found: list[Spots] = []
    contrasts: list[Floats] = []
    for octave in range(_OCTAVES):
        if min(level.shape) < _PATCH_EDGE:
            break
        levels = _blurred(level, is_first=octave == 0)
        z, y, x, contrast = _extrema(levels[1:] - levels[:-1])
        size = (_FIRST_BLUR * 2 ** (z / _LEVELS)).astype(np.float32)
        spots = np.empty(len(z), dtype=SPOT)
        spots["bits"] = _patch_bits(levels, z, y, x, size)
        scale = UNIT * 2**octave / edge
        for name, value in (("x", x + 0.5), ("y", y + 0.5), ("size", size)):
            spots[name] = np.minimum(value * scale, UNIT)
        found.append(spots)
        contrasts.append(contrast * np.sqrt(size * 2**octave))
        level = levels[_LEVELS][::2, ::2]
    if not found:
        return np.empty(0, dtype=SPOT)
    strongest = np.argsort(-np.concatenate(contrasts), kind="stable")[:_MAX_SPOTS]
    return np.concatenate(found)[strongest]


def _blurred(level: Floats, *, is_first: bool) -> Floats:
    """Return the level with each blur, shape (blurs, height, width).

    Each product is of a few rows or columns and of what their blur reaches. The products are too
    small for threads: on busy cores, those of OpenBLAS wait for each other ten times as long as
    they compute.
    """
    height, width = level.shape
    of_rows, of_columns = (_gaussians(size, is_first) for size in level.shape)
    reach = _reach(is_first)
    rows = np.empty((len(of_rows), height, width), dtype=np.float32)
    levels = np.empty_like(rows)
    for start in range(0, height, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        near = slice(max(0, start - reach), start + _BLOCK_ROWS + reach)
        np.matmul(of_rows[:, block, near], level[near], out=rows[:, block])
    for start in range(0, width, _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        near = slice(max(0, start - reach), start + _BLOCK_ROWS + reach)
        weights = of_columns[:, block, near].transpose(0, 2, 1)
        np.matmul(rows[:, :, near], weights, out=levels[:, :, block])
    return levels


def _extrema(
    waves: Floats,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Floats]:
    """Return level, row, column and contrast of what exceeds its 26 neighbors."""
    inner = waves[1:-1, 1:-1, 1:-1]
    contrast = max(_MIN_CONTRAST, _MIN_SHARE * float(inner.std()))
    is_peak = (inner > contrast) & (inner >= _of_neighbors(np.maximum, waves))
    is_pit = (inner < -contrast) & (inner <= _of_neighbors(np.minimum, waves))
    places = np.flatnonzero(is_peak | is_pit)  # faster than `nonzero` of three axes
    z, y, x = (axis + 1 for axis in np.unravel_index(places, inner.shape))
    is_spot = _is_round(waves, z, y, x)
    z, y, x = z[is_spot], y[is_spot], x[is_spot]
    return z, y, x, np.abs(waves[z, y, x])


def _is_round(
    waves: Floats, z: NDArray[np.intp], y: NDArray[np.intp], x: NDArray[np.intp]
) -> NDArray[np.bool_]:
    """Return which extrema are no edges: they are curved in all directions."""
    twice = 2 * waves[z, y, x]
    rows = waves[z, y - 1, x] + waves[z, y + 1, x] - twice
    columns = waves[z, y, x - 1] + waves[z, y, x + 1] - twice
    mixed = (
        waves[z, y - 1, x - 1]
        + waves[z, y + 1, x + 1]
        - waves[z, y - 1, x + 1]
        - waves[z, y + 1, x - 1]
    ) / 4
    curvature = rows * columns - mixed**2
    limit = (_MAX_EDGE_RATIO + 1) ** 2 / _MAX_EDGE_RATIO
    return np.asarray((curvature > 0) & ((rows + columns) ** 2 < limit * curvature))


def _of_neighbors(choose: np.ufunc, waves: Floats) -> Floats:
    """Return the maximum or minimum of 27 neighbors, without the border."""
    found = choose(choose(waves[:-2], waves[1:-1]), waves[2:])
    found = choose(choose(found[:, :-2], found[:, 1:-1]), found[:, 2:])
    return np.asarray(choose(choose(found[..., :-2], found[..., 1:-1]), found[..., 2:]))


def _patch_bits(
    levels: Floats,
    z: NDArray[np.intp],
    y: NDArray[np.intp],
    x: NDArray[np.intp],
    size: Floats,
) -> NDArray[np.uint64]:
    """Return the signs of the 48 lowest frequencies around each spot, shape (n,)."""
    height, width = levels.shape[1:]
    steps = np.linspace(-_PATCH_RADIUS, _PATCH_RADIUS, _PATCH_EDGE, dtype=np.float32)
    rows = np.clip(np.rint(y[:, None] + steps * size[:, None]), 0, height - 1).astype(np.intp)
    columns = np.clip(np.rint(x[:, None] + steps * size[:, None]), 0, width - 1).astype(np.intp)
    patches = levels[(z - 1)[:, None, None], rows[:, :, None], columns[:, None, :]]
    waves = np.empty((len(z), _SPOT_BITS), dtype=np.float32)
    for start in range(0, len(z), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        np.matmul(patches[block].reshape(-1, _PATCH_EDGE**2), _patch_waves(), out=waves[block])
    return _packed(waves > 0)


def _packed(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return rows of 48 bits as integers, shape (n,)."""
    packed = np.zeros((len(bits), 8), dtype=np.uint8)
    packed[:, : _SPOT_BITS // 8] = np.packbits(bits, axis=1)
    return packed.view("<u8").ravel()


@cache
def _added_blurs(is_first: bool) -> list[float]:
    """Return what is to be added to the blur of a level for each of an octave."""
    own = 0.5 if is_first else _FIRST_BLUR
    blurs = [_FIRST_BLUR * 2 ** (place / _LEVELS) for place in range(_LEVELS + 3)]
    return [max(blur**2 - own**2, 1e-4) ** 0.5 for blur in blurs]


@cache
def _reach(is_first: bool) -> int:
    """Return how many values the largest blur of an octave reaches."""
    return math.ceil(_REACH * _added_blurs(is_first)[-1])


@cache
def _gaussians(size: int, is_first: bool) -> Floats:
    """Return the matrices that blur ``size`` values, shape (blurs, size, size)."""
    places = np.arange(size)
    blurs = np.array(_added_blurs(is_first))[:, None, None]
    weights = np.exp(-0.5 * ((places[:, None] - places) / blurs) ** 2)
    weights /= weights.sum(axis=2, keepdims=True)
    # Products with subnormal numbers take ten times as long.
    weights[weights < _MIN_WEIGHT] = 0
    return np.asarray(weights, dtype=np.float32)


@cache
def _patch_waves() -> Floats:
    """Return the 48 lowest frequencies of a flat patch, shape (144, 48)."""
    waves = cosines(_PATCH_EDGE, FREQUENCIES)
    return np.ascontiguousarray(np.kron(waves, waves)[_low_places()].T)


@cache
def _low_places() -> NDArray[np.intp]:
    """Return the places of the 48 lowest frequencies of 8 x 8 after the mean."""
    pairs = sorted(
        ((i, j) for i in range(FREQUENCIES) for j in range(FREQUENCIES)),
        key=lambda pair: (sum(pair), pair),
    )
    return np.array([i * FREQUENCIES + j for i, j in pairs[1 : _SPOT_BITS + 1]])
