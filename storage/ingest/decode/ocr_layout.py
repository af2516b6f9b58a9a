"""From lines of text with boxes to passages: what stands together is found together.

A receipt's total means nothing without its company, so what is read in a picture stays one
passage up to a length; a page's text layer is cut at its paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sightline.storage.interfaces import OcrLine
from sightline.storage.types import Box

LONGEST_CHARS = 1500
_LEAST_EDGE = 1e-4  # a box has an area, also after rounding to 32 bits
_PARAGRAPH_GAP = 0.9  # in heights of a line
_SAME_ROW = 0.5  # of the height of the lower one of two


@dataclass(frozen=True, slots=True)
class Block:
    """Lines as one text, with the box around them and the mean confidence by length."""

    text: str
    box: Box
    confidence: float


def blocks(lines: Sequence[OcrLine], *, paragraphs: bool) -> list[Block]:
    """Passages of lines that are in reading order, each at most 1,500 characters where a line
    is not longer itself.

    Lines side by side stand in one row of the text. ``paragraphs`` starts a block also at a gap
    between rows and where the next row does not stand below the last one.
    """
    return [_block(rows) for rows in _gathered(_rows(lines), paragraphs=paragraphs)]


def proper_box(values: Sequence[float]) -> Box:
    """Corners within the picture, with an area. Raises ValueError for what is not four numbers."""
    x0, y0, x1, y1 = (min(max(float(value), 0.0), 1.0) for value in values)
    x0, x1 = _spread(min(x0, x1), max(x0, x1))
    y0, y1 = _spread(min(y0, y1), max(y0, y1))
    if not (x0 < x1 and y0 < y1):  # NaN
        raise ValueError(f"{values} is no box")
    return x0, y0, x1, y1


def _spread(low: float, high: float) -> tuple[float, float]:
    if high - low >= _LEAST_EDGE:
        return low, high
    low = min(low, 1.0 - _LEAST_EDGE)
    return low, low + _LEAST_EDGE


def _rows(lines: Sequence[OcrLine]) -> Iterator[list[OcrLine]]:
    row: list[OcrLine] = []
    for line in lines:
        if row and not (_beside(row[-1], line)):
            yield row
            row = []
        row.append(line)
    if row:
        yield row


def _beside(left: OcrLine, right: OcrLine) -> bool:
    overlap = min(left.box[3], right.box[3]) - max(left.box[1], right.box[1])
    return overlap > _SAME_ROW * min(_height(left.box), _height(right.box))


def _gathered(
    rows: Iterator[list[OcrLine]], *, paragraphs: bool
) -> Iterator[list[list[OcrLine]]]:
    gathered: list[list[OcrLine]] = []
    length = 0
    for row in rows:
        size = sum(len(line.text) + 1 for line in row)
        apart = paragraphs and gathered and _apart(_union(gathered[-1]), _union(row))
        if gathered and (apart or length + size > LONGEST_CHARS):
            yield gathered
            gathered, length = [], 0
        gathered.append(row)
        length += size
    if gathered:
        yield gathered


def _apart(above: Box, below: Box) -> bool:
    gap = below[1] - above[3]
    height = min(_height(above), _height(below))
    beside = below[0] > above[2] or below[2] < above[0]
    return beside or gap > _PARAGRAPH_GAP * height or gap < -2 * height


def _block(rows: list[list[OcrLine]]) -> Block:
    lines = [line for row in rows for line in row]
    weights = [len(line.text) for line in lines]
    total = sum(line.confidence * weight for line, weight in zip(lines, weights, strict=True))
    return Block(
        text="\n".join(" ".join(line.text for line in row) for row in rows),
        box=_union(lines),
        confidence=total / max(1, sum(weights)),
    )


def _union(lines: Sequence[OcrLine]) -> Box:
    boxes = [line.box for line in lines]
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )


def _height(box: Box) -> float:
    return box[3] - box[1]
