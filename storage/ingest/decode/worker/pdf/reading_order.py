"""Put the pieces of lines into reading order: by columns, and tables by rows.

A page is cut into bands by white lines across it. Neighboring bands with a white stripe at the same
place form a group of columns. They are read one after another if they contain running text, and
row by row otherwise.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from sightline.storage.ingest.decode.worker.pdf.words import (
    Piece,
    is_right_to_left,
    union,
)

_MIN_STRIPE = 0.5  # width of a white stripe between columns, in font sizes
_WIDE_STRIPE = 1.5
_MIN_COLUMN_LINES = 2
_MIN_CLOSE_LINES = 4  # of columns without a wide stripe between them
_MIN_LINE_WORDS = 2.8  # of running text, on average
_MIN_FILL = 0.45  # of the width of a column, by the median line of running text
_FAR = 1.9  # of a line from the one above, in font sizes: it is no part of the column
_ALIGNED = 0.25  # difference of baselines in a row, in font sizes
_MAX_ALIGNED = 0.6  # share of the lines that columns of text can have at the same height
_MAX_DEPTH = 12
_ROW_GAP = 0.3
_CJK_CHARS_PER_WORD = 2


_Stripe = tuple[float, float]


class _Band(NamedTuple):
    """Pieces at the same height; ``stripes`` are white, between and beside them."""

    pieces: list[Piece]
    x0: float
    y0: float
    x1: float
    y1: float
    stripes: list[_Stripe]


def reading_order(pieces: Sequence[Piece]) -> list[list[Piece]]:
    """Return the pieces in reading order, those of one row of text together."""
    if not pieces:
        return []
    right_to_left = is_right_to_left("".join(each.text for each in pieces[:2000]))
    return _ordered(list(pieces), right_to_left, _MAX_DEPTH)


def _ordered(pieces: list[Piece], right_to_left: bool, depth: int) -> list[list[Piece]]:
    rows: list[list[Piece]] = []
    size = median([each.size for each in pieces])
    for group, stripes in _groups(_bands(pieces, size), size):
        members = [piece for band in group for piece in band.pieces]
        columns = _columns(members, stripes) if stripes and depth else [members]
        if len(columns) > 1 and _is_running_text(columns, stripes, size):
            for column in reversed(columns) if right_to_left else columns:
                rows += _ordered(column, right_to_left, depth - 1)
        elif len(columns) > 1:
            rows += _table_rows(group, columns, right_to_left)
        else:
            rows += _rows(members, right_to_left)
    return rows


def _bands(pieces: list[Piece], size: float) -> list[_Band]:
    """Cut pieces at white lines from side to side."""
    x0, x1 = min(each.box[0] for each in pieces), max(each.box[2] for each in pieces)
    bands: list[list[Piece]] = []
    bottom = 0.0
    for piece in sorted(pieces, key=lambda each: _ink(each)[0]):
        top, low = _ink(piece)
        if bands and top < bottom:
            bands[-1].append(piece)
            bottom = max(bottom, low)
        else:
            bands.append([piece])
            bottom = low
    return [
        _Band(
            band,
            min(each.box[0] for each in band),
            min(_ink(each)[0] for each in band),
            max(each.box[2] for each in band),
            max(_ink(each)[1] for each in band),
            _stripes(band, x0, x1, _MIN_STRIPE * size),
        )
        for band in bands
    ]


def _ink(piece: Piece) -> tuple[float, float]:
    """Return top and bottom of most letters; the lines of a text often touch."""
    return piece.y - 0.6 * piece.size, piece.y + 0.05 * piece.size


def _stripes(pieces: Sequence[Piece], x0: float, x1: float, min_width: float) -> list[_Stripe]:
    """Return the white stripes between pieces, and those at both sides."""
    stripes: list[_Stripe] = []
    end = x0 - min_width
    for left, right in sorted((each.box[0], each.box[2]) for each in pieces):
        if left - end >= min_width:
            stripes.append((end, left))
        end = max(end, right)
    if x1 + min_width - end >= min_width:
        stripes.append((end, x1 + min_width))
    return stripes


def _groups(bands: list[_Band], size: float) -> list[tuple[list[_Band], list[_Stripe]]]:
    """Group neighboring bands that have a stripe in common inside of the group."""
    groups: list[tuple[list[_Band], list[_Stripe]]] = []
    group: list[_Band] = []
    stripes: list[_Stripe] = []
    inner: list[_Stripe] = []
    left = right = 0.0
    for band in bands:
        own = _inner(band.stripes, band.x0, band.x1)
        if group:
            common = _common(stripes, band.stripes, _MIN_STRIPE * size)
            both = min(left, band.x0), max(right, band.x1)
            with_band = _inner(common, *both)
            keeps = bool(with_band) or not (inner or own)
            is_far = band.y0 - group[-1].y1 > _FAR * size
            if keeps and (not is_far or (own and _inner(group[-1].stripes, *both))):
                group.append(band)
                stripes, inner, (left, right) = common, with_band, both
                continue
            groups.append((group, inner))
        group, stripes, inner, left, right = [band], band.stripes, own, band.x0, band.x1
    if group:
        groups.append((group, inner))
    return groups


def _common(one: list[_Stripe], other: list[_Stripe], min_width: float) -> list[_Stripe]:
    """Return the stripes in common of two lists, which are sorted."""
    common = []
    at = near = 0
    while at < len(one) and near < len(other):
        both = max(one[at][0], other[near][0]), min(one[at][1], other[near][1])
        if both[1] - both[0] >= min_width:
            common.append(both)
        if one[at][1] < other[near][1]:
            at += 1
        else:
            near += 1
    return common


def _inner(stripes: list[_Stripe], left: float, right: float) -> list[_Stripe]:
    """Return the stripes that have text on both sides."""
    return [each for each in stripes if each[0] > left and each[1] < right]


def _columns(pieces: list[Piece], stripes: list[_Stripe]) -> list[list[Piece]]:
    edges = sorted((left + right) / 2 for left, right in stripes)
    columns: list[list[Piece]] = [[] for _ in range(len(edges) + 1)]
    for piece in pieces:
        middle = (piece.box[0] + piece.box[2]) / 2
        columns[bisect_left(edges, middle)].append(piece)
    return [each for each in columns if each]


def _is_running_text(columns: list[list[Piece]], stripes: list[_Stripe], size: float) -> bool:
    # Words of neighboring lines can be apart at the same place.
    if min(right - left for left, right in stripes) < _WIDE_STRIPE * size and (
        max(len(_baselines(each, size)) for each in columns) < _MIN_CLOSE_LINES
    ):
        return False
    texty = [_has_sentences(each) for each in columns]
    if sum(texty) == len(columns):
        return True
    if min(len(_baselines(each, size)) for each in columns) < _MIN_COLUMN_LINES:
        return False
    # Notes beside a text are in lines of their own; labels are in the lines of what they label.
    return any(texty) and _aligned_share(columns, size) < _MAX_ALIGNED


def _has_sentences(column: list[Piece]) -> bool:
    """Return whether most lines of a column are full of words."""
    lines = _rows(column, right_to_left=False)
    if len(lines) < _MIN_COLUMN_LINES:
        return False
    x0, _, x1, _ = union(each.box for each in column)
    width = max(1e-6, x1 - x0)
    fill = median([sum(each.box[2] - each.box[0] for each in line) / width for line in lines])
    words = sum(_word_count(each) for each in column) / len(lines)
    return fill >= _MIN_FILL and words >= _MIN_LINE_WORDS


def _word_count(piece: Piece) -> float:
    text = piece.text
    wide = sum("\u2e80" <= each <= "\uffef" for each in text)
    letters = sum(any(each.isalpha() for each in word.text) for word in piece.words)
    return letters + wide / _CJK_CHARS_PER_WORD


def _baselines(column: list[Piece], size: float) -> list[float]:
    lines: list[float] = []
    for y in sorted(each.y for each in column):
        if not lines or y - lines[-1] > _ALIGNED * size:
            lines.append(y)
    return lines


def _aligned_share(columns: list[list[Piece]], size: float) -> float:
    """Return the share of lines of the shortest column that others have too."""
    lines = sorted((_baselines(each, size) for each in columns), key=len)
    others = sorted(y for each in lines[1:] for y in each)
    near = sum(
        bisect_left(others, y - _ALIGNED * size) < bisect_right(others, y + _ALIGNED * size)
        for y in lines[0]
    )
    return near / len(lines[0])


def _table_rows(
    bands: list[_Band], columns: list[list[Piece]], right_to_left: bool
) -> list[list[Piece]]:
    """Return the rows of a table. A cell of several lines is read as one."""
    rows: list[list[Piece]] = []
    gaps = [below.y0 - above.y1 for above, below in pairwise(bands)]
    usual = median(gaps) if gaps else 0.0
    size = median([each.size for band in bands for each in band.pieces])
    wide = usual + _ROW_GAP * size
    cuts = [number for number, gap in enumerate(gaps, 1) if gap > wide]
    order = {id(piece): number for number, each in enumerate(columns) for piece in each}
    # White space between rows only, not between all lines: rows of several lines.
    if len(cuts) < max(1, (len(bands) - 1) * 0.15) or _are_lines_rows(bands, cuts, order):
        cuts = list(range(1, len(bands)))
    for start, end in zip([0, *cuts], [*cuts, len(bands)], strict=True):
        pieces = [piece for band in bands[start:end] for piece in band.pieces]
        if end - start == 1:
            rows += _rows(pieces, right_to_left)
            continue
        cells: dict[int, list[Piece]] = {}
        for piece in pieces:
            cells.setdefault(order[id(piece)], []).append(piece)
        for number in sorted(cells, reverse=right_to_left):
            rows += _rows(cells[number], right_to_left)
    return rows


def _are_lines_rows(bands: list[_Band], cuts: list[int], order: dict[int, int]) -> bool:
    """Return whether white space only sets a heading, a caption or a sum apart.

    Then the other lines have text in every column, and numbers in most if they are several blocks.
    """
    all_columns = set(order.values())
    spans = zip([0, *cuts], [*cuts, len(bands)], strict=True)
    blocks = [bands[start:end] for start, end in spans if end - start > 1]
    for block in blocks:
        lines = [{order[id(piece)] for piece in band.pieces} for band in block]
        numbers = Counter(
            column
            for band in block
            for column in {order[id(piece)] for piece in band.pieces if _has_digit(piece)}
        )
        is_counted = len(block) > 2 and max(numbers.values(), default=0) > len(block) / 2
        if (len(blocks) == 1 or is_counted) and all(each == all_columns for each in lines):
            return True
    return False


def _has_digit(piece: Piece) -> bool:
    return any(each.isdigit() for each in piece.text)


def _rows(pieces: list[Piece], right_to_left: bool) -> list[list[Piece]]:
    """Return pieces by lines from top to bottom, each from side to side."""
    rows: list[list[Piece]] = []
    for piece in sorted(pieces, key=lambda each: each.y):
        if rows and abs(rows[-1][0].y - piece.y) <= 0.4 * max(piece.size, rows[-1][0].size):
            rows[-1].append(piece)
        else:
            rows.append([piece])
    return [sorted(row, key=_left, reverse=right_to_left) for row in rows]


def _left(piece: Piece) -> float:
    return piece.box[0]
