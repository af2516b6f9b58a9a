"""Find where a text or page contains the words of a query.

A text contains a term if its analysis does, as for the index: so a date in another notation, a near
word or a traditional character is found.
"""

from __future__ import annotations

import re
from bisect import bisect
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import islice

from sightline.storage.text.analyzer import (
    MAX_CHARS,
    MAX_TOKENS,
    normalize_words,
    stems_of,
    text_languages,
    word_terms,
)
from sightline.storage.text.dates import ORDER_TERMS, find_dates, index_terms
from sightline.storage.text.lexer import UNSPACED, tokenize
from sightline.storage.text.numbers import find_spaced_numbers, shorten
from sightline.storage.text.query_analysis import FUNCTION_WEIGHT, QueryTerm
from sightline.storage.text.stemming import MARK, possible_stems
from sightline.storage.types import Box

SNIPPET_CHARS = 280
_MAX_LINES = 8
_MIN_GAIN = 0.5
"""What a further line must add to a box, as a share of the first line."""
_MAX_GAP = 2.0
"""Line heights between the lines of a box. The middle of a box over half a page is elsewhere."""
# A piece of a text: at least 40 characters, up to a space without a digit beside it, as in dates.
_PIECE = re.compile(r"\S.{39,119}?(?<=\D)(?: (?=\D)|$)|\S.{0,119}")
_DATE_PREFIXES = ("date", *ORDER_TERMS)
_NO_DIGIT = re.compile(r"\D+")
_SEPARATOR = re.compile(r"[\W_]+")
_NUMBER_WEIGHT = 3.0
"""Numbers, dates and part numbers point at a place; words such as "total" are around them."""
_MIN_DIGITS = 3  # of such a number
_START = re.compile(rf"(?<!\w)\w|{UNSPACED.pattern}|[^\w\s]")


class WordMatcher:
    """Finds the words of a query, given as the terms that were searched.

    Function words are left out, and single ASCII characters, which match almost everywhere. The
    terms that only repeat a word in part count if nothing else matches.
    """

    def __init__(self, terms: Iterable[QueryTerm] = ()) -> None:
        usable = [each for each in terms if len(each.term) > 1 or not each.term.isascii()]
        others = [each for each in usable if not each.is_content and each.weight > FUNCTION_WEIGHT]
        self._contents = {each.term: _place_weight(each) for each in usable if each.is_content}
        self._others = {each.term: _place_weight(each) for each in others}
        self._clues = {_Clue.of(term) for term in (*self._contents, *self._others)}
        self._has_stems = any(each.term.startswith(MARK) for each in usable)
        self._terms: dict[str, Set[str]] = {}

    def __bool__(self) -> bool:
        return bool(self._contents or self._others)

    def box(self, lines: Sequence[tuple[Box, str]]) -> Box | None:
        """Return the box of the line that contains most of what is matched.

        Near lines that contain much of the rest are added; of equal ones, the nearest.
        """
        found = self._match([text for _, text in lines])
        matches = [(box, each) for (box, _), each in zip(lines, found, strict=True)]
        union: Box | None = None
        missing = {concept for each in found for concept in each}
        least = 0.0
        for _ in range(_MAX_LINES):
            if not missing:
                break
            gains = [
                sum(weight for concept, weight in each.items() if concept in missing)
                if _is_near(box, union)
                else 0.0
                for box, each in matches
            ]
            best = max(gains)
            if best <= 0 or best < least:
                break
            equal = [match for gain, match in zip(gains, matches, strict=True) if gain == best]
            box, chosen = min(equal, key=lambda match: _distance(match[0], union))
            union, least = _union(box, union), least or best * _MIN_GAIN
            missing -= chosen.keys()
        return union

    def snippet(self, text: str, lines: Sequence[str] = ()) -> str:
        """Return the part of a text that contains most of what is matched.

        ``lines`` are those of the text, if they are known. Cuts at spaces, with an ellipsis at each
        cut, and collapses white space.
        """
        flat = " ".join(text.split())
        if len(flat) <= SNIPPET_CHARS:
            return flat
        start = min(
            max(0, self._best_start(flat, lines) - SNIPPET_CHARS // 8), len(flat) - SNIPPET_CHARS
        )
        end = start + SNIPPET_CHARS
        cut = flat[start:end]
        if start > 0:
            space = cut.find(" ", 0, SNIPPET_CHARS // 4)
            cut = "…" + cut[space + 1 :]
        if end < len(flat):
            space = cut.rfind(" ", len(cut) - SNIPPET_CHARS // 4)
            cut = (cut[:space] if space > 0 else cut) + "…"
        return cut

    def matches(self, text: str) -> bool:
        """Return whether a text contains what the query says, not only a part of a word."""
        terms = text_terms(text, with_stems=self._has_stems)
        return not self._contents.keys().isdisjoint(terms)

    def _best_start(self, flat: str, lines: Sequence[str]) -> int:
        """Return where the matches begin of the first window that has most of them."""
        if not self:
            return 0
        pieces = _pieces(flat, lines)
        found = self._match([piece for _, piece in pieces])
        best, first = 0.0, 0
        for index, (start, _) in enumerate(pieces):
            if not found[index]:
                continue
            inside: dict[int, float] = {}
            for (at, piece), weights in zip(pieces[index:], found[index:], strict=True):
                if at + len(piece) > start + SNIPPET_CHARS * 7 // 8:
                    break
                inside |= weights
            value = sum(inside.values())
            if value > best:
                best, first = value, index
        if not best:
            return 0
        start, piece = pieces[first]
        return start + self._last_start(piece, found[first].keys())

    def _last_start(self, piece: str, concepts: Set[int]) -> int:
        """Return the last start of a word from which a piece still contains the concepts."""
        starts = [match.start() for match in _START.finditer(piece)] or [0]
        wanted = self._contents | self._others

        def lacks(start: int) -> bool:
            terms = text_terms(piece[start:], with_stems=self._has_stems)
            return not concepts <= _weights(wanted, terms).keys()

        return starts[max(bisect(starts, False, key=lacks) - 1, 0)]

    def _match(self, texts: Sequence[str]) -> list[dict[int, float]]:
        """Return the weight of each concept in each text, more for rare concepts.

        Only texts that look like it are analyzed: all together would take longer than the search.
        """
        terms = [self._terms_of(text) if self._may_match(text) else set() for text in texts]
        for wanted in (self._contents, self._others):
            found = [_weights(wanted, each) for each in terms]
            counts = Counter(concept for each in found for concept in each)
            if counts:
                return [
                    {concept: weight / counts[concept] for concept, weight in each.items()}
                    for each in found
                ]
        return [{} for _ in texts]

    def _may_match(self, text: str) -> bool:
        """Return whether a text may contain a term.

        Wrong for irregular English words only.
        """
        if not text.isascii():
            return True
        letters = _SEPARATOR.sub("", text.lower())
        digits = _NO_DIGIT.sub("", letters)
        return any(each.start in letters and each.holds_for(digits) for each in self._clues)

    def _terms_of(self, text: str) -> Set[str]:
        """Return the terms of a line, which may be a piece of the text as well."""
        found = self._terms.get(text)
        if found is None:
            found = self._terms[text] = text_terms(text, with_stems=self._has_stems)
        return found


@dataclass(frozen=True, slots=True)
class _Clue:
    """What an ASCII text with a term has.

    It is the start of a word, or digits; other characters may be between them.
    """

    start: str = ""
    digits: tuple[str, ...] = ()

    @classmethod
    def of(cls, term: str) -> _Clue:
        prefix, is_date, date = term.partition(":")
        if is_date and prefix in _DATE_PREFIXES:
            year, _, *day = date.rsplit("-", date.count("-"))
            return cls(digits=(year[-2:], *(str(int(each)) for each in day)))
        if any(map(str.isdigit, term)):
            return cls(digits=(_NO_DIGIT.sub("", term),))
        letters = _SEPARATOR.sub("", term)
        return cls(start=letters[: 3 if len(letters) > 3 else 2])

    def holds_for(self, digits: str) -> bool:
        return all(each in digits for each in self.digits)


def text_terms(text: str, *, with_stems: bool = True) -> set[str]:
    """Return the terms of a text, those of `analyze`, in half the time.

    A line may not tell the language of its text. So its words have all stems that they may have.
    """
    clean = normalize_words(text, MAX_CHARS)
    languages = text_languages(clean) if with_stems else ()
    terms: set[str] = set()
    for lexeme in islice(tokenize(clean), MAX_TOKENS):
        terms.update(word_terms(lexeme), lexeme.grams)
        if with_stems and lexeme.word is not None:
            terms.update(possible_stems(lexeme.word, languages))
        elif with_stems:
            terms.update(stems_of(lexeme, languages))
    for date in find_dates(clean):
        terms.update(index_terms(date))
    for number in find_spaced_numbers(clean):
        terms.update((number.value, shorten(number.value)))
    return terms


def _pieces(flat: str, lines: Sequence[str]) -> list[tuple[int, str]]:
    """Return the lines of a text, or pieces of it, each with its start."""
    pieces: list[tuple[int, str]] = []
    end = 0
    for line in (" ".join(each.split()) for each in lines):
        start = flat.find(line, end)
        if start < 0:
            pieces = []
            break
        pieces.append((start, line))
        end = start + len(line)
    return pieces or [(match.start(), match.group()) for match in _PIECE.finditer(flat)]


def _place_weight(term: QueryTerm) -> QueryTerm:
    is_number = sum(map(str.isdigit, term.term)) >= _MIN_DIGITS
    return term._replace(weight=term.weight * _NUMBER_WEIGHT) if is_number else term


def _weights(wanted: Mapping[str, QueryTerm], terms: Set[str]) -> dict[int, float]:
    """Return the weight of the best term of each concept."""
    weights: dict[int, float] = {}
    for term in wanted.keys() & terms:
        each = wanted[term]
        weights[each.concept] = max(each.weight, weights.get(each.concept, 0.0))
    return weights


def _union(box: Box, other: Box | None) -> Box:
    if other is None:
        return box
    return (
        min(box[0], other[0]),
        min(box[1], other[1]),
        max(box[2], other[2]),
        max(box[3], other[3]),
    )


def _is_near(box: Box, other: Box | None) -> bool:
    if other is None:
        return True
    gap = max(box[1] - other[3], other[1] - box[3])
    return gap <= _MAX_GAP * (box[3] - box[1])


def _distance(box: Box, other: Box | None) -> float:
    """Return the vertical distance of the centers; 0 without the other."""
    return 0.0 if other is None else abs(box[1] + box[3] - other[1] - other[3])
