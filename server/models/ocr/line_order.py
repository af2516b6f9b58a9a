"""Order lines as a person reads them: by rows, and block by block.

Lines side by side are one row, as in a table or a receipt, unless they belong to blocks of text of
their own. Boxes are (left, top, right, bottom) in pixels of a frame in which text is upright.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from sightline.storage.types import Box

_ROW_OVERLAP = 0.5  # of the height of the lower of two lines
_MIN_BLOCK_ROWS = 2
_MIN_GUTTER = 1.0  # in line heights
_WIDE_GUTTER = 3.0
# A line of a block of text has words; a cell of a table is short or a number.
_MIN_BLOCK_LETTERS = 8
_ALIGNED = 0.3  # of a line height
_MAX_DEPTH = 8
_LETTERS = re.compile(r"[^\W\d_]")


class PlacedLine(NamedTuple):
    """A line to order; ``key`` tells the caller which."""

    key: int
    text: str
    box: Box


Row = list[PlacedLine]


def order_lines(lines: Sequence[PlacedLine]) -> list[Row]:
    """Return rows in reading order, the lines of a row from left to right."""
    return _ordered(list(lines), 0)


def _ordered(lines: list[PlacedLine], depth: int) -> list[Row]:
    rows = _rows(lines)
    if depth >= _MAX_DEPTH:
        return rows
    ordered: list[Row] = []
    start = 0
    while start < len(rows):
        end, gutter = _gutter_from(rows, start)
        block = [line for row in rows[start:end] for line in row]
        left = [line for line in block if gutter is not None and line.box[2] <= gutter]
        right = [line for line in block if gutter is not None and line.box[2] > gutter]
        if gutter is not None and _are_blocks(left, right):
            ordered += _ordered(left, depth + 1) + _ordered(right, depth + 1)
            start = end
        else:
            ordered.append(rows[start])
            start += 1
    return ordered


def _rows(lines: Sequence[PlacedLine]) -> list[Row]:
    rows: list[Row] = []
    for line in sorted(lines, key=lambda each: each.box[1] + each.box[3]):
        row = rows[-1] if rows else []
        if row and all(_is_beside(line.box, other.box) for other in row[-2:]):
            row.append(line)
        else:
            rows.append([line])
    return [sorted(row, key=lambda each: each.box[0]) for row in rows]


def _is_beside(one: Box, other: Box) -> bool:
    overlap = min(one[3], other[3]) - max(one[1], other[1])
    return overlap > _ROW_OVERLAP * min(_height(one), _height(other))


def _gutter_from(rows: Sequence[Row], start: int) -> tuple[int, float | None]:
    """Return the end of rows from ``start`` on with one gutter, and its middle.

    None if there is no gutter. The rows at both ends have lines on both sides of it.
    """
    best: tuple[int, float | None] = (start + 1, None)
    most = 0
    for left, right in _gaps(rows[start]):
        low, high, end, both = left, right, start + 1, 1
        for number in range(start + 1, len(rows)):
            fitted = _narrowed(rows[number], low, high)
            if fitted is None:
                break
            low, high = fitted
            end = number + 1
            sides = {line.box[2] <= low + 1 for line in rows[number]}
            if len(sides) == 2:
                both += 1
        if both >= _MIN_BLOCK_ROWS and both > most:
            most, best = both, (end, (low + high) / 2)
    return best


def _gaps(row: Row) -> list[tuple[float, float]]:
    gaps = []
    for one, other in pairwise(row):
        height = min(_height(one.box), _height(other.box))
        if other.box[0] - one.box[2] >= _MIN_GUTTER * height:
            gaps.append((one.box[2], other.box[0]))
    return gaps


def _narrowed(row: Row, low: float, high: float) -> tuple[float, float] | None:
    """Return the part of a gutter that a row leaves free, None if it is too narrow."""
    middle = (low + high) / 2
    for line in row:
        x0, _, x1, _ = line.box
        if x1 <= low or x0 >= high:
            continue
        if x0 < middle < x1:
            return None
        low, high = (max(low, x1), high) if x1 <= middle else (low, min(high, x0))
    height = min(_height(line.box) for line in row)
    return (low, high) if high - low >= 0.5 * height else None


def _are_blocks(left: Sequence[PlacedLine], right: Sequence[PlacedLine]) -> bool:
    """Return whether both sides of a gutter are text, not columns of a table."""
    sides = _rows(left), _rows(right)
    if min(map(len, sides)) < _MIN_BLOCK_ROWS:
        return False
    for side in sides:
        letters = [sum(_letter_width(c) for line in row for c in line.text) for row in side]
        if sum(letters) < _MIN_BLOCK_LETTERS * len(side) or _has_labels(side):
            return False
    if not _are_aligned(*sides):
        return True
    gutter = min(line.box[0] for line in right) - max(line.box[2] for line in left)
    heights = sorted(_height(line.box) for line in (*left, *right))
    return _is_filled(sides[0]) or gutter >= _WIDE_GUTTER * heights[len(heights) // 2]


def _letter_width(character: str) -> int:
    """Return 2 for Han characters and kana, 1 for other letters, else 0."""
    if "\u2e80" <= character <= "\ufaff":
        return 2
    return 1 if _LETTERS.match(character) else 0


def _has_labels(side: Sequence[Row]) -> bool:
    labels = sum(row[-1].text.rstrip().endswith((":", "：")) for row in side)
    return labels * 2 >= len(side)


def _are_aligned(left: Sequence[Row], right: Sequence[Row]) -> bool:
    """Return whether most rows of the shorter side are beside one of the other."""
    few, many = sorted((left, right), key=len)
    found = 0
    for row in few:
        middle, height = _middle(row[0].box), _height(row[0].box)
        found += any(abs(_middle(each[0].box) - middle) <= _ALIGNED * height for each in many)
    return found > 0.6 * len(few)


def _is_filled(side: Sequence[Row]) -> bool:
    """Return whether most rows but the last end at the right edge, as in running text."""
    start = min(row[0].box[0] for row in side)
    end = max(row[-1].box[2] for row in side)
    full = sum(row[-1].box[2] - start >= 0.8 * (end - start) for row in side)
    return len(side) > 2 and full >= 0.6 * len(side)


def _middle(box: Box) -> float:
    return (box[1] + box[3]) / 2


def _height(box: Box) -> float:
    return box[3] - box[1]
