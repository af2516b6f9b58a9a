"""Find a phrase in lines of text, as `search_text` finds it in a passage.

OCR splits a row into several lines at wide gaps, and a phrase can continue in the next row.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sightline.storage.text.phrases import Phrase, phrase_positions
from sightline.storage.types import Box

#: Characters of all lines in which a phrase is searched: it runs in the event loop.
_MAX_CHARS: Final = 100_000
#: Comparisons of terms; only hostile text needs more.
_MAX_COMPARISONS: Final = 1_000_000
#: Lines whose neighbors are searched by their place.
_MAX_PLACED: Final = 2_000
#: Overlap of two lines in a row or in a column, as a share of the lower or the narrower one.
_MIN_OVERLAP: Final = 0.5
#: Distance of a line to the next one below it, in heights.
_MAX_GAP: Final = 1.5


class TextBox(NamedTuple):
    """A line of text, or a paragraph, and its normalized box."""

    text: str
    box: Box


class PhraseMatches(NamedTuple):
    """The boxes of each occurrence, in order; ``complete``: there are no more."""

    occurrences: list[list[Box]]
    complete: bool


def find_phrase(phrase: Phrase, lines: Sequence[TextBox], max_occurrences: int) -> PhraseMatches:
    """Return where the phrase is in lines in reading order.

    It may continue in the next line, or in the line to the right of it. Only if it occurs nowhere
    so, it may continue in the line below. An occurrence has one box for each row.
    """
    search = _LineSearch(phrase, lines)
    for below in (False, True):
        found: dict[tuple[int, ...], None] = {}
        for path in search.paths(below=below):
            if len(found) == max_occurrences and path not in found:
                return PhraseMatches([search.boxes(each) for each in found], complete=False)
            found[path] = None
        if found:
            return PhraseMatches([search.boxes(each) for each in found], search.is_whole)
    return PhraseMatches([], search.is_whole)


class _LineSearch:
    """The terms of lines and the neighbors of each line, for one phrase."""

    def __init__(self, phrase: Phrase, lines: Sequence[TextBox]) -> None:
        self._units = phrase.units
        self._terms: list[list[tuple[str, ...]]] = []
        self._boxes: list[Box] = []
        chars = 0
        for line in lines:
            chars += len(line.text)
            if chars > _MAX_CHARS:
                break
            if terms := phrase_positions(line.text, phrase):
                self._terms.append(terms)
                self._boxes.append(line.box)
        self.is_whole = chars <= _MAX_CHARS
        self._comparisons = 0
        self._corners = np.array(self._boxes, dtype=np.float64).reshape(-1, 4)
        self._placed: dict[int, tuple[list[int], list[int]]] = {}

    def paths(self, *, below: bool) -> Iterator[tuple[int, ...]]:
        """Yield the numbers of the lines of each occurrence, by its start."""
        dead: set[tuple[int, int]] = set()
        first = self._units[0]
        for line, terms in enumerate(self._terms):
            at = 0
            while at < len(terms):
                if self._comparisons > _MAX_COMPARISONS:
                    self.is_whole = False
                    return
                path = self._follow(line, at, dead, below=below) if first in terms[at] else None
                if path is not None:
                    yield path
                    if len(path) > 1:
                        break
                    at += len(self._units)
                else:
                    at += 1

    def _follow(
        self, line: int, at: int, dead: set[tuple[int, int]], *, below: bool
    ) -> tuple[int, ...] | None:
        """Return the lines of the phrase that starts at a position, None if none does.

        ``dead`` are lines that do not continue the phrase from one of its units.
        """
        stack: list[tuple[int, int, int, tuple[int, ...]]] = [(line, at, 0, (line,))]
        seen: set[tuple[int, int]] = set()
        while stack:
            number, start, matched, path = stack.pop()
            terms, count = self._terms[number], 0
            while (
                matched + count < len(self._units)
                and start + count < len(terms)
                and self._units[matched + count] in terms[start + count]
            ):
                count += 1
            matched += count
            self._comparisons += count + 1
            if matched == len(self._units):
                return path
            if start + count < len(terms):
                continue
            for following in reversed(self._following(number, below=below)):
                state = (following, matched)
                if following not in path and state not in seen and state not in dead:
                    seen.add(state)
                    stack.append((following, 0, matched, (*path, following)))
        dead |= seen
        return None

    def _following(self, line: int, *, below: bool) -> list[int]:
        """Return the lines in which a phrase at the end of a line may continue."""
        if line not in self._placed and len(self._placed) < _MAX_PLACED:
            self._placed[line] = (self._to_the_right(line), self._below(line))
        right, under = self._placed.get(line, ([], []))
        next_lines = [line + 1] if line + 1 < len(self._terms) else []
        return list(dict.fromkeys([*next_lines, *right, *(under if below else ())]))

    def _to_the_right(self, line: int) -> list[int]:
        x0, y0, x1, y1 = self._corners[line]
        lefts, tops, _, bottoms = self._corners.T
        overlap = np.minimum(bottoms, y1) - np.maximum(tops, y0)
        in_row = overlap > _MIN_OVERLAP * np.minimum(bottoms - tops, y1 - y0)
        return _nearest(lefts, in_row & (lefts > (x0 + x1) / 2))

    def _below(self, line: int) -> list[int]:
        x0, y0, x1, y1 = self._corners[line]
        lefts, tops, rights, _ = self._corners.T
        overlap = np.minimum(rights, x1) - np.maximum(lefts, x0)
        in_column = overlap > _MIN_OVERLAP * np.minimum(rights - lefts, x1 - x0)
        is_near = (tops > (y0 + y1) / 2) & (tops - y1 < _MAX_GAP * (y1 - y0))
        return _nearest(tops, in_column & is_near)

    def boxes(self, path: tuple[int, ...]) -> list[Box]:
        """Return the union of the lines of each row of a path."""
        rows: list[list[Box]] = []
        for line in path:
            box = self._boxes[line]
            if rows and _are_in_row(rows[-1][-1], box):
                rows[-1].append(box)
            else:
                rows.append([box])
        return [_union(row) for row in rows]


def _nearest(edges: NDArray[np.float64], candidates: NDArray[np.bool_]) -> list[int]:
    numbers = np.flatnonzero(candidates)
    return [int(numbers[np.argmin(edges[numbers])])] if len(numbers) else []


def _are_in_row(one: Box, other: Box) -> bool:
    overlap = min(one[3], other[3]) - max(one[1], other[1])
    return overlap > _MIN_OVERLAP * min(one[3] - one[1], other[3] - other[1])


def _union(boxes: Sequence[Box]) -> Box:
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return min(x0), min(y0), max(x1), max(y1)
