"""Return the text of a page as lines in reading order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from sightline.storage.ingest.decode.ocr_layout import SOFT_HYPHEN
from sightline.storage.ingest.decode.worker.pdf.characters import (
    Character,
    Direction,
    PageFrame,
)
from sightline.storage.ingest.decode.worker.pdf.reading_order import reading_order
from sightline.storage.ingest.decode.worker.pdf.words import Piece, pieces_of, turned_back, union
from sightline.storage.types import Box

# In font sizes.
_MAX_LEADING = 3.0
_MAX_WORD_GAP = 1.5


class TextLine(NamedTuple):
    """A piece of a line with its box, normalized to 0..1 of the page."""

    text: str
    box: Box


def lines_of(characters: Sequence[Character], frame: PageFrame) -> list[TextLine]:
    """Return the pieces of lines in reading order.

    Text in other directions than most comes last. A word that is hyphenated at the end of a line is
    joined there, with a soft hyphen.
    """
    by_direction: defaultdict[Direction, list[Character]] = defaultdict(list)
    for each in characters:
        by_direction[each.direction].append(each)
    lines: list[TextLine] = []
    for direction in sorted(by_direction, key=lambda each: -len(by_direction[each])):
        rows = reading_order(pieces_of(by_direction[direction], direction))
        for text, box in _dehyphenated(rows):
            lines.append(TextLine(text, frame.normalized(turned_back(box, direction))))
    return lines


def _dehyphenated(rows: list[list[Piece]]) -> list[tuple[str, Box]]:
    lines: list[tuple[str, Box]] = []
    rest = ""  # of a word that the line before has
    for number, row in enumerate(rows):
        following = rows[number + 1][0] if number + 1 < len(rows) else None
        joined = _without_gaps(row)
        for piece in joined:
            text = piece.text
            if rest:
                text, rest = text[len(rest) :].lstrip(), ""
            if piece is joined[-1] and following is not None and _is_hyphenated(piece, following):
                rest = following.text.split(maxsplit=1)[0]
                # A word in capitals or a name has its own hyphen.
                text = (text[:-1] + SOFT_HYPHEN if rest[0].islower() else text) + rest
            if text:
                lines.append((text, piece.box))
    return lines


def _without_gaps(row: list[Piece]) -> list[Piece]:
    """Join the pieces of justified lines; cells of a table stay apart."""
    joined = row[:1]
    for piece in row[1:]:
        last = joined[-1]
        gap = max(piece.box[0] - last.box[2], last.box[0] - piece.box[2])
        if gap > _MAX_WORD_GAP * last.size:
            joined.append(piece)
        else:
            pair = (last, piece) if last.box[0] <= piece.box[0] else (piece, last)
            words = pair[0].words + pair[1].words
            joined[-1] = Piece(words, union([last.box, piece.box]), last.y, last.size)
    return joined


def _is_hyphenated(piece: Piece, below: Piece) -> bool:
    word, following = piece.words[-1].text, below.words[0].text
    return (
        len(word) > 2
        and word[-1] in "-\u00ad"
        and word[-2].isalpha()
        and following[0].isalpha()
        and _continues(piece, below)
    )


def _continues(piece: Piece, following: Piece) -> bool:
    """Return whether a line can go on in another: below, or in the next column."""
    down = following.y - piece.y
    if down < 0:
        return following.box[0] > piece.box[2]
    return down <= _MAX_LEADING * piece.size and following.box[0] < piece.box[2]
