"""Join characters to words, and words to the pieces of lines.

Text of each direction is turned so that it runs to the right; `turned` gives the boxes back.
"""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import median
from typing import NamedTuple

from sightline.storage.ingest.decode.worker.pdf.characters import Character, Direction
from sightline.storage.types import Box
from sightline.storage.unicode_forms import normalize_form

# All in font sizes.
_WORD_GAP = 0.1  # as in poppler
_MAX_OVERLAP = 0.8  # of a character with the one before: an accent, or tight letters
_SAME_BASELINE = 0.35
_COPY_X, _COPY_Y = 0.12, 0.2  # a second copy of a letter, for a bold look or a shadow
_PIECE_GAP = 0.58  # of words of one line in one column
_MIN_SPACED = 4
_MIN_LETTERS = 0.75  # share of letters in a line with space between its letters
_ASCENT, _DESCENT = 0.8, 0.22
_MAX_SIZE_RATIO = 1.6
_CJK_GAP, _RIGHT_TO_LEFT_GAP = 0.35, 0.16
_MAX_NEAR = 12  # chains of one line that can go on at a place
_MAX_SAME = 16  # of one letter within one square of its size
_ACCENTS = {
    **{each: each for each in map(chr, range(0x300, 0x330))},
    **dict(
        zip(
            "\u00a8\u00b4`\u02c6^\u02dc~\u00af\u02c7\u00b8\u02d9\u02da\u02dd\u02d8\u02db",
            "\u0308\u0301\u0300\u0302\u0302\u0303\u0303\u0304\u030c\u0327\u0307\u030a\u030b\u0306\u0328",
            strict=True,
        )
    ),
}


class Glyph(NamedTuple):
    """A character in a frame in which its text runs to the right."""

    text: str
    x0: float
    x1: float
    y: float
    size: float
    breaks: bool
    number: int


@dataclass(frozen=True, slots=True)
class Word:
    """A word with its baseline ``y`` and the size of its font."""

    text: str
    box: Box
    y: float
    size: float


@dataclass(frozen=True, slots=True)
class Piece:
    """Words of one line without a wide gap between them."""

    words: tuple[Word, ...]
    box: Box
    y: float
    size: float

    @property
    def text(self) -> str:
        return join_words(self.words)


def turned(box: Box, direction: Direction) -> Box:
    """Turn a box so that text of this direction runs to the right."""
    x0, y0, x1, y1 = box
    match direction:
        case "down":
            return y0, -x1, y1, -x0
        case "left":
            return -x1, -y1, -x0, -y0
        case "up":
            return -y1, x0, -y0, x1
        case _:
            return box


def turned_back(box: Box, direction: Direction) -> Box:
    """Undo `turned`."""
    opposite: dict[Direction, Direction] = {"down": "up", "up": "down"}
    return turned(box, opposite.get(direction, direction))


def pieces_of(characters: Sequence[Character], direction: Direction) -> list[Piece]:
    """Return the pieces of lines of characters of one direction, in its frame."""
    glyphs = _without_copies(_glyphs(characters, direction))
    return [piece for line in _lines(glyphs) for piece in _split_line(line)]


def _glyphs(characters: Iterable[Character], direction: Direction) -> Iterable[Glyph]:
    for number, each in enumerate(characters):
        x0, _, x1, _ = turned(each.box, direction)
        y = turned((each.x, each.y, each.x, each.y), direction)[1]
        yield Glyph(each.text, x0, x1, y, each.size, each.breaks, number)


def _without_copies(glyphs: Iterable[Glyph]) -> list[Glyph]:
    """Leave out letters that are drawn again almost at the same place."""
    kept: list[Glyph] = []
    places: defaultdict[tuple[str, int, int], list[Glyph]] = defaultdict(list)
    for glyph in glyphs:
        cell = glyph.size
        column, row = int(glyph.x0 // cell), int(glyph.y // cell)
        near = (
            other
            for x in (column - 1, column, column + 1)
            for y in (row - 1, row, row + 1)
            for other in places.get((glyph.text, x, y), ())
        )
        if any(
            abs(other.x0 - glyph.x0) < _COPY_X * cell and abs(other.y - glyph.y) < _COPY_Y * cell
            for other in near
        ):
            continue
        same = places[(glyph.text, column, row)]
        if len(same) < _MAX_SAME:
            same.append(glyph)
        kept.append(glyph)
    return kept


def _lines(glyphs: Sequence[Glyph]) -> list[list[Glyph]]:
    """Return glyphs by lines, each from left to right, without wide gaps.

    Chains of the file are cut where the text jumps, and those that continue each other are joined.
    """
    chains: list[list[Glyph]] = []
    for glyph in glyphs:
        last = chains[-1][-1] if chains else None
        if last is None or not _follows(last, glyph):
            chains.append([glyph])
        else:
            chains[-1].append(glyph)
    return _joined(chains)


def _follows(last: Glyph, glyph: Glyph) -> bool:
    size = max(last.size, glyph.size)
    gap = glyph.x0 - last.x1
    back = last.x0 - glyph.x1  # text of Arabic and Hebrew may be written to the left
    near = -_MAX_OVERLAP * size <= gap <= _PIECE_GAP * size or (
        -_MAX_OVERLAP * size <= back <= _PIECE_GAP * size
    )
    return near and _on_one_line(last, glyph)


def _on_one_line(one: Glyph, other: Glyph) -> bool:
    return abs(one.y - other.y) <= _SAME_BASELINE * max(one.size, other.size)


def _joined(chains: list[list[Glyph]]) -> list[list[Glyph]]:
    """Join chains that are side by side on one line."""
    chains = [sorted(each, key=lambda glyph: (glyph.x0, glyph.number)) for each in chains]
    rows: defaultdict[int, list[int]] = defaultdict(list)
    height = max(1.0, median([each[0].size for each in chains])) if chains else 1.0
    order = sorted(range(len(chains)), key=lambda number: chains[number][0].x0)
    ends: dict[int, int] = {}
    for number in order:
        chain = chains[number]
        first = chain[0]
        row = int(first.y // height)
        best, best_gap = None, 0.0
        for nearby in (row - 1, row, row + 1):
            for candidate in rows[nearby][-_MAX_NEAR:]:
                last = chains[candidate][-1]
                size = max(last.size, first.size)
                gap = first.x0 - last.x1
                if (
                    -_MAX_OVERLAP * size <= gap <= _PIECE_GAP * size
                    and _on_one_line(last, first)
                    and (best is None or abs(gap) < best_gap)
                ):
                    best, best_gap = candidate, abs(gap)
        if best is None:
            rows[row].append(number)
        else:
            chains[best] += chain
            ends[number] = best
    return [chain for number, chain in enumerate(chains) if number not in ends]


def _split_line(line: list[Glyph]) -> list[Piece]:
    line.sort(key=lambda glyph: (glyph.x0, glyph.number))
    line = _with_accents(line)
    size = median([each.size for each in line])
    limit = _word_gap(line, size)
    words: list[list[Glyph]] = [[line[0]]]
    for last, glyph in pairwise(line):
        gap = glyph.x0 - last.x1
        if gap > max(limit, _script_gap(last, glyph) * size) or (_breaks(last, glyph) and gap > 0):
            words.append([glyph])
        else:
            words[-1].append(glyph)
    built = [_word(each) for each in words]
    pieces: list[list[Word]] = [[built[0]]]
    for last_word, word in pairwise(built):
        if word.box[0] - last_word.box[2] > max(_PIECE_GAP * size, 2.5 * limit):
            pieces.append([word])
        else:
            pieces[-1].append(word)
    return [_piece(each) for each in pieces]


def _breaks(last: Glyph, glyph: Glyph) -> bool:
    """Return whether the file has a space between two neighbors."""
    return glyph.breaks if glyph.number > last.number else last.breaks


def _word_gap(line: Sequence[Glyph], size: float) -> float:
    """Return the smallest gap between words; letters of a heading can be apart too."""
    gaps = sorted(
        glyph.x0 - last.x1
        for last, glyph in pairwise(line)
        if last.text.isalnum() and glyph.text.isalnum() and not _script_gap(last, glyph)
    )
    limit = _WORD_GAP * size
    letters = sum(each.text.isalpha() for each in line)
    if len(gaps) < _MIN_SPACED or letters < _MIN_LETTERS * len(line):
        return limit  # a row of numbers or signs
    usual = gaps[len(gaps) // 2]
    if usual <= limit:
        return limit
    smallest = gaps[len(gaps) // 10]
    return usual + max(limit, 0.5 * smallest)


def _script_gap(last: Glyph, glyph: Glyph) -> float:
    """Return the least gap between words of some scripts, 0 for others.

    Their characters are narrower than their place. In font sizes.
    """
    one, other = last.text[:1], glyph.text[:1]
    if "\u2e80" <= one <= "\uffef" and "\u2e80" <= other <= "\uffef":
        return _CJK_GAP
    return _RIGHT_TO_LEFT_GAP if "\u0590" <= one <= "\u08ff" else 0.0


def _with_accents(line: list[Glyph]) -> list[Glyph]:
    """Return a line in which accents that are drawn over a letter are part of it."""
    if not any(glyph.text in _ACCENTS for glyph in line):
        return line
    kept: list[Glyph | None] = list(line)
    for at, glyph in enumerate(line):
        accent = _ACCENTS.get(glyph.text)
        if accent is None:
            continue
        middle = (glyph.x0 + glyph.x1) / 2
        for near in (at + 1, at - 1):
            letter = kept[near] if 0 <= near < len(line) else None
            if letter is not None and letter.x0 <= middle <= letter.x1:
                text = normalize_form("NFC", letter.text + accent)
                if len(text) == 1:
                    kept[near], kept[at] = letter._replace(text=text), None
                    break
    return [each for each in kept if each is not None]


def _word(glyphs: list[Glyph]) -> Word:
    size = max(each.size for each in glyphs)
    y = max(each.y for each in glyphs if each.size * _MAX_SIZE_RATIO >= size)
    x0, x1 = min(each.x0 for each in glyphs), max(each.x1 for each in glyphs)
    text = "".join(each.text for each in glyphs)
    if any(unicodedata.bidirectional(each) in ("R", "AL") for each in text):
        text = "".join(each.text for each in reversed(glyphs))
    return Word(text, (x0, y - _ASCENT * size, x1, y + _DESCENT * size), y, size)


def _piece(words: list[Word]) -> Piece:
    boxes = [each.box for each in words]
    size = median([each.size for each in words])
    return Piece(tuple(words), union(boxes), median([each.y for each in words]), size)


def union(boxes: Iterable[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)


def is_right_to_left(text: str) -> bool:
    """Return whether most letters of a text are of Arabic, Hebrew or the like."""
    classes = [unicodedata.bidirectional(each) for each in text]
    return sum(each in ("R", "AL") for each in classes) > sum(each == "L" for each in classes)


def join_words(words: Sequence[Word]) -> str:
    """Return words as they are read, with spaces where the script has them."""
    text = " ".join(each.text for each in words)
    if is_right_to_left(text):
        text = " ".join(each.text for each in reversed(words))
    return text
