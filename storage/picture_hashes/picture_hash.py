"""Hash whole pictures: the perceptual and the symmetric hash."""

from __future__ import annotations

from functools import cache
from itertools import combinations
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.picture_hashes.frequencies import FREQUENCIES, cosines, inverted, turns
from sightline.storage.picture_hashes.local_hashes import find_spots

HASH_EDGE = 256
"""Reduce a picture to this before hashing it, as thumbnails are."""
_EDGE = 32
_MIN_DEVIATION = 2.0  # of 255: below, noise decides the signs
_SYMMETRIC_FREQUENCIES = 12
_SPOT_EDGE = 128


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
    rows = cosines(_EDGE, _SYMMETRIC_FREQUENCIES)
    waves = rows @ small @ rows.T
    low = waves[:FREQUENCIES, :FREQUENCIES].ravel() > 0
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
    octets = perceptual.astype(">u8").view(np.uint8).reshape(-1, FREQUENCIES)
    square = np.unpackbits(octets, axis=1).reshape(-1, FREQUENCIES, FREQUENCIES)
    turned = [
        np.packbits((square.transpose(0, 2, 1) if is_turned else square) ^ inverted(*mirrored))
        for is_turned, *mirrored in turns()
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


def _reduced(gray: Image.Image) -> Image.Image:
    """Return the picture with a longer edge of 128 pixels."""
    scale = _SPOT_EDGE / max(gray.size)
    size = max(1, round(gray.width * scale)), max(1, round(gray.height * scale))
    return gray.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.BILINEAR)


@cache
def _symmetric_places() -> list[tuple[int, int]]:
    """Return the 16 lowest pairs of even frequencies, whose signs mirroring keeps."""
    even = range(0, _SYMMETRIC_FREQUENCIES, 2)
    pairs = sorted(
        ((i, j) for i in even for j in even if i <= j),
        key=lambda pair: (pair[0] ** 2 + pair[1] ** 2, pair),
    )
    return pairs[1:17]


def _signed(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> int:
    """Return bits as a signed integer, as Postgres stores it."""
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)
