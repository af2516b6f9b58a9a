"""Finds words of a collection near a word of the query that no text contains.

Near is a word at a small edit distance ("mecanic", "mechanic"), one that begins or ends with the
query's word ("12345" of "INC0012345"), or one with the same beginning ("задержка",
"задерживаются"). Candidates come from ranges of the vocabulary, in both directions: of two words at
edit distance one, the first or the last half is equal.
"""

from __future__ import annotations

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, NamedTuple

from sightline.storage.db.queries import Connection, fetch_values, load_sql
from sightline.storage.text.analyzer import MAX_TERM_CHARS, is_word, stem_term
from sightline.storage.text.query_analysis import QueryWord

_SQL = load_sql("retrieval")
MAX_NEAR_WORDS = 8
"""Words that stand for one word of the query."""
_MAX_MISSING_WORDS = 6
_MAX_READ = 5_000  # words of each range
_MAX_CANDIDATES = 500  # of these, with the right length
_MAX_CHECKED = 32  # candidates of a word that are looked for in texts
_MAX_POSTINGS = 1_000  # that are read to find one in the collections
_MIN_AFFIX_CHARS = 4
_TWO_EDITS_CHARS = 8
_MIN_DIGITS = 5  # of a number that may be a part of another one
_MIN_AFFIX_CHARS_OF_OTHER_SCRIPTS = 3
_MAX_LONGER = 6  # characters of an ending
_LAST_CHARACTER = "\U0010ffff"
# The share of the word's weight that a near word keeps.
_ONE_EDIT, _TWO_EDITS, _AFFIX, _FIRST_LETTER, _PART_OF_NUMBER = 0.8, 0.6, 0.6, 0.5, 0.4
#: By the share of the word that is the beginning of the near word as well.
_STEMS = ((0.7, 0.4), (0.5, 0.3))


class NearWord(NamedTuple):
    """A word near one of the query, with its term; ``weight`` 0 to 1 says how near."""

    word: str
    term: str
    weight: float


class _Range(NamedTuple):
    """Words from ``first`` to ``last``, which are reversed if ``is_reversed``."""

    asked_for: str
    first: str
    last: str
    is_reversed: bool
    min_chars: int
    max_chars: int


async def find_near_words(
    connection: Connection, words: Sequence[QueryWord], collection_ids: Sequence[int]
) -> dict[QueryWord, list[NearWord]]:
    """Return the nearest words of the collections for each word that has any.

    A word that the collections contain has none.
    """
    wanted = {
        word.spelling: word
        for word in words[:_MAX_MISSING_WORDS]
        if word.spelling is not None and is_word(word.spelling)
    }
    ranges = [each for spelling in wanted for each in _ranges(spelling)]
    if not ranges:
        return {}
    params: dict[str, Any] = {
        name: [getattr(each, name) for each in ranges] for name in _Range._fields
    }
    params["collections"] = list(collection_ids)
    params |= {"max_read": _MAX_READ, "max_candidates": _MAX_CANDIDATES}
    candidates: defaultdict[str, dict[str, str]] = defaultdict(dict)
    cursor = await connection.execute(_SQL["near_words"], params)
    for spelling, word, term in await cursor.fetchall():
        candidates[spelling][word] = term
    # Thousands of candidates take some 10 ms.
    ranked = await asyncio.to_thread(
        lambda: {wanted[each]: _by_nearness(each, found) for each, found in candidates.items()}
    )
    params = {
        "terms": sorted({each.term for found in ranked.values() for each in found}),
        "collections": list(collection_ids),
        "max_postings": _MAX_POSTINGS,
    }
    # The vocabulary may have words of texts that were deleted.
    existing = set(await fetch_values(connection, _SQL["existing_terms"], params))
    near = {word: _nearest(found, existing) for word, found in ranked.items()}
    return {word: found for word, found in near.items() if found}


def _ranges(word: str) -> Iterator[_Range]:
    size = len(word)

    def affix(text: str, min_chars: int, max_chars: int, *, is_reversed: bool = False) -> _Range:
        return _Range(word, text, text + _LAST_CHARACTER, is_reversed, min_chars, max_chars)

    yield affix(word, size, MAX_TERM_CHARS)
    if size < _min_affix_chars(word):
        return
    yield affix(word[::-1], size, MAX_TERM_CHARS, is_reversed=True)
    if _has_digit(word):
        return
    edits = _max_edits(word)
    piece = size // 2 if edits == 1 else max(size // 3, 3)
    yield affix(word[:piece], size - edits, size + edits)
    yield affix(word[::-1][:piece], size - edits, size + edits, is_reversed=True)
    beginning = word[: _stem_chars(word, _STEMS[-1][0])]
    yield affix(beginning, len(beginning), size + _MAX_LONGER)


def _by_nearness(word: str, candidates: Mapping[str, str]) -> list[NearWord]:
    """Return the nearest candidates; none if one has the term of the word.

    ``candidates`` are terms by word.
    """
    if stem_term(word) in candidates.values():
        return []
    found = [NearWord(each, term, nearness(word, each)) for each, term in candidates.items()]
    found = [each for each in found if each.weight > 0]
    found.sort(key=lambda each: (-each.weight, abs(len(each.word) - len(word)), each.word))
    return found[:_MAX_CHECKED]


def _nearest(ranked: Sequence[NearWord], existing: Set[str]) -> list[NearWord]:
    """Return the words that are as near as the nearest one that occurs."""
    found = [each for each in ranked if each.term in existing]
    return [each for each in found if each.weight == found[0].weight][:MAX_NEAR_WORDS]


def nearness(word: str, other: str) -> float:
    """Return 0 (unrelated) to 1: how near another word is to a word of a query.

    Numbers and part numbers are near only if one begins or ends with the other: one digit makes
    another number.
    """
    if not _has_digit(word) and not _has_digit(other):
        distance = edit_distance(word, other, _max_edits(word))
        if distance == 1 and word[0] != other[0]:
            return _FIRST_LETTER  # few misspell it
        if distance is not None:
            return (1.0, _ONE_EDIT, _TWO_EDITS)[distance]
    is_number = _has_digit(word)
    if len(word) < (_MIN_DIGITS if word.isdigit() else _min_affix_chars(word)):
        return 0.0
    if other.startswith(word) or other.endswith(word):
        return _PART_OF_NUMBER if is_number else _AFFIX
    if is_number:
        return 0.0
    stems = (each for each in _STEMS if other.startswith(word[: _stem_chars(word, each[0])]))
    return next((weight for _, weight in stems), 0.0)


def edit_distance(word: str, other: str, limit: int) -> int | None:
    """Return the number of edits up to a limit of 0 to 2, else None.

    An edit inserts, deletes or replaces a character, or swaps two neighbors (optimal string
    alignment).
    """
    if abs(len(word) - len(other)) > limit:
        return None
    start = 0
    shorter = min(len(word), len(other))
    while start < shorter and word[start] == other[start]:
        start += 1
    word, other = word[start:], other[start:]
    while word and other and word[-1] == other[-1]:
        word, other = word[:-1], other[:-1]
    if not word or not other:
        distance = len(word) + len(other)
        return distance if distance <= limit else None
    if limit == 0:
        return None
    # The first characters differ: try each edit on them.
    edits = [(word[1:], other), (word, other[1:]), (word[1:], other[1:])]
    if word[:2] == other[1::-1] and len(word) > 1 and len(other) > 1:
        edits.append((word[2:], other[2:]))
    rests = [edit_distance(*each, limit - 1) for each in edits]
    best = min((each for each in rests if each is not None), default=None)
    return None if best is None else best + 1


def _max_edits(word: str) -> int:
    if len(word) < _min_affix_chars(word):
        return 0
    return 2 if len(word) >= _TWO_EDITS_CHARS else 1


def _stem_chars(word: str, share: float) -> int:
    return max(_min_affix_chars(word), math.ceil(share * len(word)))


def _min_affix_chars(word: str) -> int:
    """Return the length that says enough: words of other scripts are shorter."""
    return _MIN_AFFIX_CHARS if word.isascii() else _MIN_AFFIX_CHARS_OF_OTHER_SCRIPTS


def _has_digit(word: str) -> bool:
    return any(char.isdigit() for char in word)
