"""Group text lines with boxes into passages.

A total on a receipt means nothing without the company, so the OCR text of an image stays one
passage up to a length; the text layer of a page is split at its paragraphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from sightline.storage.interfaces import OcrLine
from sightline.storage.types import Box

_MAX_BLOCK_CHARS = 1500
SOFT_HYPHEN = "\u00ad"
_MIN_EDGE = 1e-4  # a box must have an area also after rounding to 32 bits
_PARAGRAPH_GAP = 0.9  # in line heights
_ROW_OVERLAP = 0.5  # of the height of the lower of two lines


@dataclass(frozen=True, slots=True)
class TextBlock:
    """Lines as one text, with their common box and mean confidence."""

    text: str
    box: Box
    confidence: float


def group_lines(lines: Sequence[OcrLine], *, paragraphs: bool) -> list[TextBlock]:
    """Group lines in reading order into blocks of at most 1,500 characters.

    Lines side by side form one row of text, unless the lines say themselves where rows start.
    ``paragraphs`` also splits at a gap between rows and where the next row is not below the last
    one. A single longer line is not cut.
    """
    return [_block(rows) for rows in _group_rows(_rows(lines), paragraphs=paragraphs)]


def join_hyphenated(text: str) -> tuple[str, str]:
    """Return a text without soft hyphens, and the parts of the words that had some.

    A soft hyphen is where a word was hyphenated at the end of a line.
    """
    parts = [
        part for word in text.split() if SOFT_HYPHEN in word for part in word.split(SOFT_HYPHEN)
    ]
    return text.replace(SOFT_HYPHEN, ""), " ".join(part for part in parts if part)


def normalize_box(values: Sequence[float]) -> Box:
    """Clip a box to 0..1 and give it an area. Raises ValueError for NaN."""
    x0, y0, x1, y1 = (min(max(float(value), 0.0), 1.0) for value in values)
    x0, x1 = _widen(min(x0, x1), max(x0, x1))
    y0, y1 = _widen(min(y0, y1), max(y0, y1))
    if not (x0 < x1 and y0 < y1):  # NaN
        raise ValueError(f"{values} is not a box")
    return x0, y0, x1, y1


def _widen(low: float, high: float) -> tuple[float, float]:
    if high - low >= _MIN_EDGE:
        return low, high
    low = min(low, 1.0 - _MIN_EDGE)
    return low, low + _MIN_EDGE


def _starts_row(before: OcrLine, line: OcrLine) -> bool:
    if line.starts_row is not None:
        return line.starts_row
    left, right = before.box, line.box
    overlap = min(left[3], right[3]) - max(left[1], right[1])
    return overlap <= _ROW_OVERLAP * min(_height(left), _height(right))


def _rows(lines: Sequence[OcrLine]) -> Iterator[list[OcrLine]]:
    row: list[OcrLine] = []
    length = 0
    for line in lines:
        if row and (_starts_row(row[-1], line) or length + len(line.text) > _MAX_BLOCK_CHARS):
            yield row
            row, length = [], 0
        row.append(line)
        length += len(line.text) + 1
    if row:
        yield row


def _group_rows(
    rows: Iterator[list[OcrLine]], *, paragraphs: bool
) -> Iterator[list[list[OcrLine]]]:
    group: list[list[OcrLine]] = []
    length = 0
    for row in rows:
        size = sum(len(line.text) + 1 for line in row)
        new_paragraph = paragraphs and group and _is_new_paragraph(_union(group[-1]), _union(row))
        if group and (new_paragraph or length + size > _MAX_BLOCK_CHARS):
            yield group
            group, length = [], 0
        group.append(row)
        length += size
    if group:
        yield group


def _is_new_paragraph(above: Box, below: Box) -> bool:
    gap = below[1] - above[3]
    height = min(_height(above), _height(below))
    beside = below[0] > above[2] or below[2] < above[0]
    return beside or gap > _PARAGRAPH_GAP * height or gap < -2 * height


def _block(rows: list[list[OcrLine]]) -> TextBlock:
    lines = [line for row in rows for line in row]
    weights = [len(line.text) for line in lines]
    total = sum(line.confidence * weight for line, weight in zip(lines, weights, strict=True))
    return TextBlock(
        text="\n".join(" ".join(line.text for line in row) for row in rows),
        box=_union(lines),
        confidence=total / max(1, sum(weights)),
    )


def _union(lines: Sequence[OcrLine]) -> Box:
    x0, y0, x1, y1 = zip(*(line.box for line in lines), strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def _height(box: Box) -> float:
    return box[3] - box[1]
