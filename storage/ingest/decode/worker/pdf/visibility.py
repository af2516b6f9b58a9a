"""Find out which text of a page can be seen in its picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from sightline.storage.ingest.decode.worker.pdf.characters import Character, PageFrame
from sightline.storage.ingest.decode.worker.pdf.words import turned, turned_back
from sightline.storage.types import Box

_CELL = 3  # pixels; `_reduced` is for this size
_EXTREMES = (np.maximum, np.minimum)
_MIN_CONTRAST = 10  # of 255: less is no ink
_MIN_PIXELS = 4  # height of letters that can be told from the background
_TOP, _BOTTOM = 0.62, 0.02  # of the letters from the baseline, in font sizes


class InkMap:
    """Tells where the picture of a page is not plain."""

    def __init__(self, image: Image.Image) -> None:
        pixels = np.asarray(image.convert("RGB"))
        height, width = (edge // _CELL * _CELL for edge in pixels.shape[:2])
        self._rows, self._columns = max(1, height // _CELL), max(1, width // _CELL)
        self._size = image.size
        if height and width:
            high, low = (_reduced(pixels[:height, :width], each) for each in _EXTREMES)
            contrast = (high - low).max(axis=2)
        else:
            contrast = np.full((1, 1), 255, np.uint8)
        ink = contrast >= _MIN_CONTRAST
        # Plain cells of different colors: large letters have plain insides.
        middle = pixels[: height or 1 : _CELL, : width or 1 : _CELL].astype(np.int16)
        for axis in (0, 1):
            step = np.abs(np.diff(middle, axis=axis)).max(axis=2) >= _MIN_CONTRAST
            if axis == 0:
                ink[1:] |= step
            else:
                ink[:, 1:] |= step
        self._sums = np.zeros((self._rows + 1, self._columns + 1), np.int32)
        self._sums[1:, 1:] = ink.cumsum(axis=0).cumsum(axis=1)

    @property
    def is_plain(self) -> bool:
        return int(self._sums[-1, -1]) == 0

    def visible(self, characters: Sequence[Character], frame: PageFrame) -> list[bool]:
        """Return for each character whether there is ink at its place.

        Letters of a few pixels count as visible.
        """
        if not characters:
            return []
        boxes = np.array([_letter_box(each) for each in characters], np.float64)
        scale = np.array([self._size[0] / frame.width, self._size[1] / frame.height] * 2)
        pixels = boxes * scale
        cells = pixels / _CELL
        limit = np.array([self._columns, self._rows])
        low = np.clip(np.floor(cells[:, :2]), 0, limit - 1).astype(int)
        high = np.maximum(np.clip(np.ceil(cells[:, 2:]), 0, limit).astype(int), low + 1)
        sums = self._sums
        count = (
            sums[high[:, 1], high[:, 0]]
            - sums[low[:, 1], high[:, 0]]
            - sums[high[:, 1], low[:, 0]]
            + sums[low[:, 1], low[:, 0]]
        )
        sizes = np.array([each.size for each in characters]) * scale[:2].min()
        return [bool(each) for each in (count > 0) | (sizes < _MIN_PIXELS)]


def _reduced(pixels: NDArray[np.uint8], extreme: np.ufunc) -> NDArray[np.uint8]:
    """Return the extreme of each cell; several times faster than a reduction of axes."""
    rows: NDArray[np.uint8] = extreme(extreme(pixels[::3], pixels[1::3]), pixels[2::3])
    cells: NDArray[np.uint8] = extreme(extreme(rows[:, ::3], rows[:, 1::3]), rows[:, 2::3])
    return cells


def without_text(image: Image.Image, boxes: Sequence[Box]) -> Image.Image:
    """Return a picture in which boxes, normalized to 0..1, have the color around them."""
    pixels = np.array(image)
    height, width = pixels.shape[:2]
    for x0, y0, x1, y1 in boxes:
        left, top = max(0, int(x0 * width) - 2), max(0, int(y0 * height) - 2)
        right, bottom = min(width, int(x1 * width) + 3), min(height, int(y1 * height) + 3)
        part = pixels[top:bottom, left:right]
        if part.size:
            ring = np.concatenate([part[0], part[-1], part[:, 0], part[:, -1]])
            part[:] = np.median(ring, axis=0).astype(np.uint8)
    return Image.fromarray(pixels)


def _letter_box(character: Character) -> Box:
    x0, _, x1, _ = turned(character.box, character.direction)
    point = (character.x, character.y, character.x, character.y)
    y = turned(point, character.direction)[1]
    size = character.size
    return turned_back((x0, y - _TOP * size, x1, y + _BOTTOM * size), character.direction)
