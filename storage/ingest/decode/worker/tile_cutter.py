"""Cut images into overlapping tiles at two scales, to find small parts.

Neighbors overlap by a quarter, so that something cut by one tile is whole in the next. Tiles of
common image shapes are square, because encoders squeeze or crop other shapes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from PIL import Image

from sightline.storage.ingest.decode.worker.worker_protocol import TilePart
from sightline.storage.interfaces import Pixels
from sightline.storage.types import Box

TILE_SCHEME = "2+3"
"""Stored with a source: tiles along the shorter side. Change it with any change in this module."""
TYPICAL_TILES = 16
"""Typical tiles per image: 13 for a square, 18 for 4:3, 26 for 16:9."""

_TILES_ACROSS = (2, 3)
_OVERLAP = 0.25
_MAX_TILES_ALONG = 3  # times those across; tiles of a longer strip are not square
_MIN_EDGE_PIXELS = 64  # smaller tiles add nothing to the whole image


def tile_boxes(width: int, height: int) -> list[Box]:
    """Return normalized boxes of the tiles of an image, large ones first, row by row.

    ``width`` and ``height`` are in pixels. Empty if the image is too small.
    """
    shorter, longer = sorted((width, height))
    boxes: list[Box] = []
    for across in _TILES_ACROSS:
        edge = shorter * _tile_share(across)
        if edge < _MIN_EDGE_PIXELS:
            break
        fitting = round((longer / edge - _OVERLAP) / (1 - _OVERLAP))
        along = min(max(fitting, across), across * _MAX_TILES_ALONG)
        columns, rows = (along, across) if width >= height else (across, along)
        boxes += [(x0, y0, x1, y1) for y0, y1 in _spans(rows) for x0, x1 in _spans(columns)]
    return boxes


def cut_tiles(
    image: Image.Image, asset: int, preprocess: Callable[[Image.Image], Pixels]
) -> Iterator[TilePart]:
    """Yield the tiles of an upright RGB image; ``asset`` is the image's ordinal."""
    for ordinal, box in enumerate(tile_boxes(*image.size)):
        x0, y0, x1, y1 = box
        left, right = round(x0 * image.width), round(x1 * image.width)
        top, bottom = round(y0 * image.height), round(y1 * image.height)
        pixels = preprocess(image.crop((left, top, right, bottom)))
        height, width, channels = pixels.shape
        yield TilePart(
            asset=asset,
            ordinal=ordinal,
            box=box,
            shape=(height, width, channels),
            pixels=pixels.tobytes(),
        )


def _tile_share(count: int) -> float:
    """Return the share of a side that one of ``count`` overlapping tiles covers."""
    return 1 / (count - (count - 1) * _OVERLAP)


def _spans(count: int) -> list[tuple[float, float]]:
    share = _tile_share(count)
    step = (1 - share) / (count - 1)
    return [(index * step, min(1.0, index * step + share)) for index in range(count)]
