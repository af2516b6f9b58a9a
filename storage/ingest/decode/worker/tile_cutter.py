"""Parts of a picture at two scales, so that a search can look closer and say where.

Tiles overlap by a quarter, so that what one of them cuts stands whole in its neighbour, and are
square for pictures of usual shapes, for encoders squeeze or crop what is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from PIL import Image

from sightline.storage.ingest.decode.worker.worker_context import Frame
from sightline.storage.ingest.decode.worker.worker_protocol import pack
from sightline.storage.interfaces import Pixels

SCHEME = "2+3"
"""Recorded with a source: tiles across the shorter side. Another name for any change here."""
TYPICAL = 16
"""About how many tiles a picture has: 13 of a square, 18 of 4:3, 26 of 16:9."""

_ACROSS = (2, 3)
_OVERLAP = 0.25
_MOST_ALONG = 3  # times those across: in a longer strip they are longer than high
_LEAST_EDGE = 64  # pixels: smaller ones would show an encoder nothing that the whole does not

Box = tuple[float, float, float, float]


def boxes(width: int, height: int) -> list[Box]:
    """Corners (x0, y0, x1, y1) of the tiles of a picture of so many pixels, 0 to 1 of it, row by
    row, the large ones first; none of a picture that is too small to have parts.
    """
    shorter, longer = sorted((width, height))
    found: list[Box] = []
    for across in _ACROSS:
        edge = shorter * _share(across)
        if edge < _LEAST_EDGE:
            break
        fitting = round((longer / edge - _OVERLAP) / (1 - _OVERLAP))
        along = min(max(fitting, across), across * _MOST_ALONG)
        columns, rows = (along, across) if width >= height else (across, along)
        found += [(x0, y0, x1, y1) for y0, y1 in _spread(rows) for x0, x1 in _spread(columns)]
    return found


def tile_parts(
    image: Image.Image, ordinal: int, preprocess: Callable[[Image.Image], Pixels]
) -> Iterator[Frame]:
    """The tiles of an upright RGB picture, each with its box and what the encoder takes."""
    for number, box in enumerate(boxes(*image.size)):
        x0, y0, x1, y1 = box
        left, right = round(x0 * image.width), round(x1 * image.width)
        top, bottom = round(y0 * image.height), round(y1 * image.height)
        pixels = preprocess(image.crop((left, top, right, bottom)))
        header = {
            "part": "tile",
            "on": ordinal,
            "ordinal": number,
            "box": box,
            "shape": pixels.shape,
        }
        yield pack(header, [pixels.tobytes()])


def _share(count: int) -> float:
    """What one of so many overlapping tiles takes of a side."""
    return 1 / (count - (count - 1) * _OVERLAP)


def _spread(count: int) -> list[tuple[float, float]]:
    share = _share(count)
    step = (1 - share) / (count - 1)
    return [(number * step, min(1.0, number * step + share)) for number in range(count)]
