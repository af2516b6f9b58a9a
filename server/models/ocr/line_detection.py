"""Find lines of text on pictures of any size.

A picture is searched as a whole on a copy of 1,536 pixels. Long pictures, and those with print that
is too small there, are also searched in overlapping windows, and a line in two windows is joined.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from sightline.server.models.ocr.line_geometry import boxes_of
from sightline.server.models.ocr.text_models import BgrImage, DetectedLines, Quads, TextModels

DETECTION_EDGE = 1536
"""Longer side of what the detector sees at once, in pixels."""
_PREVIEW_EDGE = 640
_WINDOW_OVERLAP = 192
_MAX_WINDOWS = 64
_CELL_EDGE, _CELL_MARGIN = 640, 48
# A longer picture would have less than 512 pixels across in the overview.
_LONG_ASPECT = 3.0
_MAX_PREVIEW_ASPECT = 2.0
# A window without new lines is a sign that the marks are no print.
_MAX_EMPTY_WINDOWS = 2
_CUT_SHARE = 0.7  # of the height of a line: so close to the edge of a window it may go on
# Marks: what looks like a line of small print, in pixels of the picture.
_MIN_MARK_HEIGHT, _MAX_MARK_HEIGHT = 4, 40
_MIN_MARK_ASPECT = 2.5
_EDGE_STRENGTH = 48


_Integers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class _Window:
    left: int
    top: int
    right: int
    bottom: int


class Deadline:
    """A time after which reading stops with what it has."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        self.was_reached = False

    def is_over(self) -> bool:
        self.was_reached = self.was_reached or time.monotonic() > self._end
        return self.was_reached


def detect_lines(models: TextModels, image: BgrImage, deadline: Deadline) -> DetectedLines:
    """Return the lines of a picture in its pixels."""
    height, width = image.shape[:2]
    if is_long(width, height):
        return _join(image, list(_search(models, image, _along(width, height), deadline)))
    found = models.detect(image, DETECTION_EDGE)
    if max(height, width) <= DETECTION_EDGE and len(found.quads):
        return found
    windows = _marked_windows(width, height, print_marks(image, found.quads))
    if not windows:
        return found
    parts = _search(models, image, windows, deadline, max_empty=_MAX_EMPTY_WINDOWS)
    return _add(found, _join(image, list(parts)))


def has_lines(models: TextModels, image: BgrImage) -> bool:
    """Return whether there are lines, at a tenth of the cost of `detect_lines`.

    Looks at small copies, and at the part with the most small print in its full size.
    """
    height, width = image.shape[:2]
    if max(height, width) > _MAX_PREVIEW_ASPECT * min(height, width):
        edge = int(_MAX_PREVIEW_ASPECT * min(height, width))
        windows = list(_along(width, height, length=edge, overlap=edge // 8))
    else:
        windows = [_Window(0, 0, width, height)]
    if any(len(models.detect(_part(image, each), _PREVIEW_EDGE).quads) for each in windows):
        return True
    marks = print_marks(image, np.zeros((0, 4, 2), np.float32))
    best = _marked_windows(width, height, marks)[:1]
    return any(len(models.detect(_part(image, each), _PREVIEW_EDGE).quads) for each in best)


def is_long(width: int, height: int) -> bool:
    """Return whether a picture is so long that its overview shows no print."""
    longer, shorter = max(width, height), min(width, height)
    return longer > DETECTION_EDGE and longer > _LONG_ASPECT * shorter


def print_marks(image: BgrImage, known: Quads) -> NDArray[np.float32]:
    """Return boxes (n, 4) in pixels of what may be lines of small print.

    They are runs of strong edges, of the shape of a line, with nothing around them, and not in a
    known line.
    """
    gray = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    shape = cv2.getStructuringElement(cv2.MORPH_RECT, (3, 3))
    strong = cv2.morphologyEx(gray, cv2.MORPH_GRADIENT, shape) > _EDGE_STRENGTH
    edges = strong.astype(np.uint8)
    cv2.fillPoly(edges, list(known.astype(np.int32)), 0)
    # The letters and words of a line are less than 12 pixels apart.
    joined = cv2.morphologyEx(
        edges, cv2.MORPH_CLOSE, cv2.getStructuringElement(cv2.MORPH_RECT, (13, 3))
    )
    _, _, stats, _ = cv2.connectedComponentsWithStats(joined, connectivity=8)
    left, top, wide, high = np.asarray(stats[1:, :4], np.int64).T
    is_line = (high >= _MIN_MARK_HEIGHT) & (high <= _MAX_MARK_HEIGHT)
    is_line &= wide >= _MIN_MARK_ASPECT * high
    left, top, wide, high = (each[is_line] for each in (left, top, wide, high))
    right, bottom = left + wide, top + high
    # A line has many edges, and the strips above and below it have none.
    count = _Counter(edges)
    strip = np.maximum(2, high // 4)
    around = count(left, top - strip, right, top) + count(left, bottom, right, bottom + strip)
    is_clear = count(left, top, right, bottom) > 0.3 * wide * high
    is_clear &= around < 0.1 * wide * strip
    boxes = np.stack([left, top, right, bottom], axis=1)[is_clear]
    return np.asarray(boxes, np.float32)


class _Counter:
    """Counts the edges in boxes, from the sums of all boxes in the upper left corner."""

    def __init__(self, edges: NDArray[np.uint8]) -> None:
        self._sums = np.asarray(cv2.integral(edges), np.int64)

    def __call__(self, x0: _Integers, y0: _Integers, x1: _Integers, y1: _Integers) -> _Integers:
        height, width = self._sums.shape[0] - 1, self._sums.shape[1] - 1
        x0, x1 = np.clip(x0, 0, width), np.clip(x1, 0, width)
        y0, y1 = np.clip(y0, 0, height), np.clip(y1, 0, height)
        sums = self._sums
        return np.asarray(sums[y1, x1] - sums[y0, x1] - sums[y1, x0] + sums[y0, x0])


def _search(
    models: TextModels,
    image: BgrImage,
    windows: Iterator[_Window] | list[_Window],
    deadline: Deadline,
    max_empty: int = _MAX_WINDOWS,
) -> Iterator[tuple[_Window, DetectedLines]]:
    empty = 0
    for window in windows:
        if deadline.is_over() or empty >= max_empty:
            return
        found = models.detect(_part(image, window), DETECTION_EDGE)
        empty = 0 if len(found.quads) else empty + 1
        if len(found.quads):
            moved = found.quads + np.array([window.left, window.top], np.float32)
            yield window, found._replace(quads=moved)


def _part(image: BgrImage, window: _Window) -> BgrImage:
    return image[window.top : window.bottom, window.left : window.right]


def _along(
    width: int, height: int, length: int | None = None, overlap: int | None = None
) -> Iterator[_Window]:
    """Yield windows along the longer side of a picture."""
    shorter, longer = sorted((width, height))
    if length is None:
        length = max(shorter, min(DETECTION_EDGE, 4 * shorter))
    overlap = min(_WINDOW_OVERLAP, length // 4) if overlap is None else overlap
    length = max(length, -(-longer // _MAX_WINDOWS) + overlap)
    for start in _starts(longer, length, overlap):
        end = min(longer, start + length)
        yield _Window(start, 0, end, height) if width > height else _Window(0, start, width, end)


def _starts(total: int, length: int, overlap: int) -> list[int]:
    """Return the starts of windows that cover a side, at least ``overlap`` shared."""
    if total <= length:
        return [0]
    count = -(-(total - overlap) // (length - overlap))
    return [round(index * (total - length) / (count - 1)) for index in range(count)]


def _marked_windows(width: int, height: int, marks: NDArray[np.float32]) -> list[_Window]:
    """Return windows around neighboring marks, those with the most first.

    The detector does not see a single line in a large empty window, so windows are narrow.
    """
    cells: dict[tuple[int, int], list[NDArray[np.float32]]] = {}
    for mark in marks:
        across, down = (mark[0] + mark[2]) / 2, (mark[1] + mark[3]) / 2
        cells.setdefault((int(across // _CELL_EDGE), int(down // _CELL_EDGE)), []).append(mark)
    windows = []
    for each in sorted(cells.values(), key=len, reverse=True)[:_MAX_WINDOWS]:
        left, top = np.min(each, axis=0)[:2] - _CELL_MARGIN
        right, bottom = np.max(each, axis=0)[2:] + _CELL_MARGIN
        edges = (
            max(0, int(left)),
            max(0, int(top)),
            min(width, int(right)),
            min(height, int(bottom)),
        )
        windows.append(_Window(*edges))
    return windows


def _join(image: BgrImage, parts: list[tuple[_Window, DetectedLines]]) -> DetectedLines:
    """Join the lines of windows, with those that two windows share once."""
    height, width = image.shape[:2]
    quads: list[NDArray[np.float32]] = []
    scores: list[float] = []
    cut: list[bool] = []
    for window, found in parts:
        boxes = boxes_of(found.quads)
        near = _CUT_SHARE * np.minimum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
        is_cut = (
            ((boxes[:, 0] < window.left + near) & (window.left > 0))
            | ((boxes[:, 1] < window.top + near) & (window.top > 0))
            | ((boxes[:, 2] > window.right - near) & (window.right < width))
            | ((boxes[:, 3] > window.bottom - near) & (window.bottom < height))
        )
        first = len(quads)
        for quad, score, is_part in zip(found.quads, found.scores, is_cut, strict=True):
            _insert(quads, scores, cut, first, (quad, float(score), bool(is_part)))
    if not quads:
        return DetectedLines.none()
    return DetectedLines(np.stack(quads), np.array(scores, np.float32))


def _insert(
    quads: list[NDArray[np.float32]],
    scores: list[float],
    cut: list[bool],
    first: int,
    line: tuple[NDArray[np.float32], float, bool],
) -> None:
    """Add a line, or join it with that of an earlier window (before ``first``)."""
    quad, score, is_cut = line
    if first:
        others = boxes_of(np.stack(quads[:first]))
        box = boxes_of(quad[None])[0]
        shared = _shared(box, others)
        smaller = np.minimum(_areas(others), _areas(box[None])[0])
        for index in np.flatnonzero(shared > 0):
            if is_cut and cut[index] and _continues(others[index], box):
                corners = np.concatenate([quads[index], quad])
                quads[index] = _enclosing(corners, quads[index])
                scores[index] = max(scores[index], score)
                return
            if shared[index] >= 0.6 * smaller[index]:  # the whole line and a part of it
                if _areas(box[None])[0] > _areas(others[index][None])[0] and (
                    cut[index] or not is_cut
                ):
                    quads[index], scores[index], cut[index] = quad, score, is_cut
                return
    quads.append(quad)
    scores.append(score)
    cut.append(is_cut)


def _add(found: DetectedLines, more: DetectedLines) -> DetectedLines:
    """Add lines of windows; the overview may have blurred several into one."""
    if not len(more.quads):
        return found
    if not len(found.quads):
        return more
    boxes, added = boxes_of(found.quads), boxes_of(more.quads)
    keep, use = np.ones(len(boxes), bool), np.ones(len(added), bool)
    for index, box in enumerate(boxes):
        shared = _shared(box, added)
        inside = shared >= 0.6 * _areas(added)
        if not inside.any():
            use &= shared < 0.6 * _areas(box[None])[0]
            continue
        heights = added[inside][:, 3] - added[inside][:, 1]
        if inside.sum() > 1 and np.median(heights) < 0.6 * (box[3] - box[1]):
            keep[index] = False
        else:
            use &= ~inside
    return DetectedLines(
        np.concatenate([found.quads[keep], more.quads[use]]),
        np.concatenate([found.scores[keep], more.scores[use]]),
    )


def _shared(box: NDArray[np.float32], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    wide = np.minimum(box[2], boxes[:, 2]) - np.maximum(box[0], boxes[:, 0])
    high = np.minimum(box[3], boxes[:, 3]) - np.maximum(box[1], boxes[:, 1])
    return np.asarray(np.clip(wide, 0, None) * np.clip(high, 0, None))


def _areas(boxes: NDArray[np.float32]) -> NDArray[np.float32]:
    return (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])


def _continues(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    """Return whether two boxes are parts of one line, across or down."""
    for start, end in ((1, 3), (0, 2)):
        thick = one[end] - one[start], other[end] - other[start]
        overlap = min(one[end], other[end]) - max(one[start], other[start])
        if overlap >= 0.6 * max(thick):
            return True
    return False


def _enclosing(corners: NDArray[np.float32], like: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the smallest quad around points, its corners in the order of another."""
    quad = cv2.boxPoints(cv2.minAreaRect(corners))  # clockwise
    direction = like[1] - like[0]
    sides = np.roll(quad, -1, axis=0) - quad
    cosines = sides @ direction / np.maximum(1e-6, np.linalg.norm(sides, axis=1))
    return np.roll(quad, -int(np.argmax(cosines)), axis=0).astype(np.float32)
