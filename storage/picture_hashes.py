"""Hash pictures so that copies are recognized.

A copy may be turned, mirrored, darker, gray, smaller or cut. A picture has three kinds of hashes:

- The **perceptual hash** has the signs of its lowest frequencies. A rotation by a quarter or a
  mirror image permutes its bits and inverts some of them, so the hash of one orientation gives
  those of all eight (`orientations`). Brightness changes no sign.
- The **symmetric hash** is the same in all eight orientations, so that an index finds it.
- The **local hashes** describe up to 64 spots with their places. A cut picture has some of them,
  and all at the places that one frame explains.

All are computed from the thumbnail or from a picture of about that size.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

HASH_EDGE = 256
"""Reduce a picture to this before hashing it, as thumbnails are."""
_EDGE, _FREQUENCIES = 32, 8
_MIN_DEVIATION = 2.0  # of 255: below, noise decides the signs
_SYMMETRIC_FREQUENCIES = 12

_SPOT_EDGE = 128
_MAX_SPOTS = 64
_OCTAVES, _LEVELS = 3, 3  # levels of an octave that have spots; three more surround them
_FIRST_BLUR = 1.6
_MIN_CONTRAST, _MIN_SHARE = 0.5, 0.5  # of 255, and of the deviation
_MAX_EDGE_RATIO = 40.0  # of the two curvatures; 10, as usual, loses spots of cut photographs
_MIN_WEIGHT = 1e-9  # of a pixel in a blur
_BLOCK_ROWS = 16  # of 128 x 128 values: OpenBLAS uses threads from 4 * 65,536 multiplications
_PATCH_EDGE = 12
_PATCH_RADIUS = 5.0  # times the blur of the level
_SPOT_BITS = 48
_MAX_SPOT_BITS = 10
_MIN_SPOTS = 3  # two places always fit
_MAX_PAIRS = 512
_MAX_SCALE_ERROR, _MAX_PLACE_ERROR = 0.45, 0.05  # octaves, and a share of the longer edge
_SPOT = np.dtype([("bits", "<u8"), ("x", "<u2"), ("y", "<u2"), ("size", "<u2")])
_UNIT = 65_535

Floats = NDArray[np.float32]
Spots = NDArray[np.void]
"""Local hashes: ``bits``, and place and ``size`` as shares of the longer edge times 65,535."""


class PictureHashes(NamedTuple):
    """The hashes of one picture, as they are stored."""

    perceptual: int
    symmetric: int
    local: bytes


def hash_picture(image: Image.Image) -> PictureHashes | None:
    """Return the hashes of an upright RGB picture of 256 pixels; None if plain."""
    gray = image.convert("L")
    small = np.asarray(gray.resize((_EDGE, _EDGE), Image.Resampling.BOX), dtype=np.float32)
    if small.std() < _MIN_DEVIATION:
        return None
    rows = _cosines(_EDGE, _SYMMETRIC_FREQUENCIES)
    waves = rows @ small @ rows.T
    low = waves[:_FREQUENCIES, :_FREQUENCIES].ravel() > 0
    low[0] = False  # the mean brightness
    turned = waves + waves.T
    symmetric = np.array([turned[i, j] > 0 for i, j in _symmetric_places()])
    return PictureHashes(
        _signed(low), _signed(symmetric), find_spots(np.asarray(_reduced(gray))).tobytes()
    )


def orientations(perceptual: int) -> list[int]:
    """Return the perceptual hashes of all eight orientations, the given one first."""
    unsigned = np.array([perceptual], dtype=np.int64).view(np.uint64)
    turned: list[int] = turn_hashes(unsigned).view(np.int64)[:, 0].tolist()
    return turned


def turn_hashes(perceptual: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Return the hashes (n,) of pictures in all orientations, shape (8, n)."""
    octets = perceptual.astype(">u8").view(np.uint8).reshape(-1, _FREQUENCIES)
    square = np.unpackbits(octets, axis=1).reshape(-1, _FREQUENCIES, _FREQUENCIES)
    turned = [
        np.packbits((square.transpose(0, 2, 1) if is_turned else square) ^ _inverted(*mirrored))
        for is_turned, *mirrored in _turns()
    ]
    return np.stack([each.view(">u8") for each in turned]).astype(np.uint64)


def nearby(symmetric: int, max_bits: int) -> list[int]:
    """Return all symmetric hashes that differ from one in at most ``max_bits``."""
    masks = [
        sum(1 << place for place in places)
        for count in range(max_bits + 1)
        for places in combinations(range(16), count)
    ]
    return [(((symmetric ^ mask) + 0x8000) & 0xFFFF) - 0x8000 for mask in masks]


def unpack_spots(local: bytes | None) -> Spots:
    """Return stored local hashes, shape (n,)."""
    count = min(len(local or b"") // _SPOT.itemsize, _MAX_SPOTS)
    return np.frombuffer(local or b"", dtype=_SPOT, count=count)


def turn_spots(spots: Spots, orientation: int) -> Spots:
    """Return the local hashes in an orientation, numbered as in `orientations`.

    Places are then relative to each other only.
    """
    if not orientation:
        return spots
    is_turned, mirrored_rows, mirrored_columns = _turns()[orientation]
    turned = spots.copy()
    flat = np.zeros((len(spots), _FREQUENCIES**2), dtype=np.uint8)
    octets = np.ascontiguousarray(spots["bits"]).view(np.uint8).reshape(len(spots), 8)
    flat[:, _low_places()] = np.unpackbits(octets[:, : _SPOT_BITS // 8], axis=1)
    square = flat.reshape(len(spots), _FREQUENCIES, _FREQUENCIES)
    if is_turned:
        square = square.transpose(0, 2, 1)
        turned["x"], turned["y"] = spots["y"], spots["x"]
    square = square ^ _inverted(mirrored_rows, mirrored_columns)
    for name, is_mirrored in (("y", mirrored_rows), ("x", mirrored_columns)):
        if is_mirrored:
            turned[name] = _UNIT - turned[name]
    turned["bits"] = _packed(square.reshape(len(spots), _FREQUENCIES**2)[:, _low_places()])
    return turned


def count_matches(spots: Spots, others: Sequence[Spots]) -> NDArray[np.intp]:
    """Return how many local hashes each of the others shares with a picture.

    The shape is (others,). Only those count that one frame explains: the same scale and offset of
    all places.
    """
    counts = np.zeros(len(others), dtype=np.intp)
    if not len(spots) or not any(map(len, others)):
        return counts
    every = np.concatenate([each["bits"] for each in others])
    bits = np.bitwise_count(spots["bits"][:, None] ^ every[None])
    own, theirs = np.nonzero(bits <= _MAX_SPOT_BITS)
    sizes = np.array([len(each) for each in others])
    picture = np.repeat(np.arange(len(others)), sizes)[theirs]
    theirs -= (np.cumsum(sizes) - sizes)[picture]
    enough = np.bincount(picture, minlength=len(others)) >= _MIN_SPOTS
    for place in np.flatnonzero(enough).tolist():
        found = np.flatnonzero(picture == place)[:_MAX_PAIRS]
        counts[place] = _count_in_frame(spots, others[place], own[found], theirs[found])
    return counts


def _count_in_frame(
    spots: Spots, others: Spots, own: NDArray[np.intp], theirs: NDArray[np.intp]
) -> int:
    """Return the number of pairs of spots that the best frame explains.

    Each pair proposes a frame by its sizes and places.
    """
    ratio = others["size"][theirs].astype(np.float32) / np.maximum(spots["size"][own], 1)
    scale = np.log2(np.maximum(ratio, 1e-6))
    fits = np.abs(scale[:, None] - scale[None]) < _MAX_SCALE_ERROR
    for name in ("x", "y"):
        here, there = (each.astype(np.float32) for each in (spots[name][own], others[name][theirs]))
        error = there[None] - there[:, None] - ratio[:, None] * (here[None] - here[:, None])
        fits &= np.abs(error) < _MAX_PLACE_ERROR * _UNIT
    best = fits[fits.sum(axis=1).argmax()]
    # Spots along an edge or of a pattern are alike and count once.
    pairs = (spots, own), (others, theirs)
    return min(len(np.unique(each["bits"][places[best]])) for each, places in pairs)


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
        blurs = [_FIRST_BLUR * 2 ** (place / _LEVELS) for place in range(_LEVELS + 3)]
        levels = _blurred(level, blurs, is_first=octave == 0)
        z, y, x, contrast = _extrema(levels[1:] - levels[:-1])
        size = (_FIRST_BLUR * 2 ** (z / _LEVELS)).astype(np.float32)
        spots = np.empty(len(z), dtype=_SPOT)
        spots["bits"] = _patch_bits(levels, z, y, x, size)
        scale = _UNIT * 2**octave / edge
        for name, value in (("x", x + 0.5), ("y", y + 0.5), ("size", size)):
            spots[name] = np.minimum(value * scale, _UNIT)
        found.append(spots)
        contrasts.append(contrast * np.sqrt(size * 2**octave))
        level = levels[_LEVELS][::2, ::2]
    if not found:
        return np.empty(0, dtype=_SPOT)
    strongest = np.argsort(-np.concatenate(contrasts), kind="stable")[:_MAX_SPOTS]
    return np.concatenate(found)[strongest]


def _reduced(gray: Image.Image) -> Image.Image:
    """Return the picture with a longer edge of 128 pixels."""
    scale = _SPOT_EDGE / max(gray.size)
    size = max(1, round(gray.width * scale)), max(1, round(gray.height * scale))
    return gray.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)


def _blurred(level: Floats, blurs: Sequence[float], *, is_first: bool) -> Floats:
    """Return the level with each blur, shape (blurs, height, width)."""
    height, width = level.shape
    own = 0.5 if is_first else _FIRST_BLUR
    levels = np.empty((len(blurs), height, width), dtype=np.float32)
    for place, blur in enumerate(blurs):
        added = round(max(blur**2 - own**2, 1e-4) ** 0.5, 4)
        rows = _product(_gaussian(height, added), level)
        levels[place] = _product(rows, _gaussian(width, added).T)
    return levels


def _product(one: Floats, other: Floats) -> Floats:
    """Return the product of two matrices, in blocks too small for threads.

    On busy cores, the threads of OpenBLAS wait for each other ten times as long as they compute.
    """
    found = np.empty((len(one), other.shape[1]), dtype=np.float32)
    for start in range(0, len(one), _BLOCK_ROWS):
        block = slice(start, start + _BLOCK_ROWS)
        np.matmul(one[block], other, out=found[block])
    return found


def _extrema(
    waves: Floats,
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.intp], Floats]:
    """Return level, row, column and contrast of what exceeds its 26 neighbors."""
    inner = waves[1:-1, 1:-1, 1:-1]
    contrast = max(_MIN_CONTRAST, _MIN_SHARE * float(inner.std()))
    is_peak = (inner > contrast) & (inner >= _of_neighbors(np.maximum, waves))
    is_pit = (inner < -contrast) & (inner <= _of_neighbors(np.minimum, waves))
    z, y, x = (axis + 1 for axis in np.nonzero(is_peak | is_pit))
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
    cosines = _cosines(_PATCH_EDGE, _FREQUENCIES)
    waves = (cosines @ patches @ cosines.T).reshape(len(z), _FREQUENCIES**2)
    return _packed(waves[:, _low_places()] > 0)


def _packed(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> NDArray[np.uint64]:
    """Return rows of 48 bits as integers, shape (n,)."""
    packed = np.zeros((len(bits), 8), dtype=np.uint8)
    packed[:, : _SPOT_BITS // 8] = np.packbits(bits, axis=1)
    return packed.view("<u8").ravel()


@cache
def _gaussian(size: int, blur: float) -> Floats:
    """Return the matrix that blurs ``size`` values, shape (size, size)."""
    places = np.arange(size)
    weights = np.exp(-0.5 * ((places[:, None] - places[None]) / blur) ** 2)
    weights /= weights.sum(axis=1, keepdims=True)
    # Products with subnormal numbers take ten times as long.
    weights[weights < _MIN_WEIGHT] = 0
    return np.asarray(weights, dtype=np.float32)


@cache
def _cosines(size: int, count: int) -> Floats:
    """Return the first rows of the DCT-II of ``size`` points, shape (count, size)."""
    k, n = np.arange(count)[:, None], np.arange(size)[None, :]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * size)).astype(np.float32)


@cache
def _low_places() -> NDArray[np.intp]:
    """Return the places of the 48 lowest frequencies of 8 x 8 after the mean."""
    pairs = sorted(
        ((i, j) for i in range(_FREQUENCIES) for j in range(_FREQUENCIES)),
        key=lambda pair: (sum(pair), pair),
    )
    return np.array([i * _FREQUENCIES + j for i, j in pairs[1 : _SPOT_BITS + 1]])


@cache
def _symmetric_places() -> list[tuple[int, int]]:
    """Return the 16 lowest pairs of even frequencies, whose signs mirroring keeps."""
    even = range(0, _SYMMETRIC_FREQUENCIES, 2)
    pairs = sorted(
        ((i, j) for i in even for j in even if i <= j),
        key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair),
    )
    return pairs[1:17]


@cache
def _turns() -> list[tuple[bool, bool, bool]]:
    """Return of each orientation if it is transposed, and rows, columns mirrored."""
    return [
        (is_turned, rows, columns)
        for is_turned in (False, True)
        for rows in (False, True)
        for columns in (False, True)
    ]


def _inverted(rows: bool, columns: bool) -> NDArray[np.uint8]:
    """Return the frequencies of 8 x 8 whose signs mirrored rows or columns invert."""
    odd = np.arange(_FREQUENCIES, dtype=np.uint8) % 2
    return (odd[:, None] * rows) ^ (odd[None, :] * columns)


def _signed(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> int:
    """Return bits as a signed integer, as Postgres stores it."""
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)
