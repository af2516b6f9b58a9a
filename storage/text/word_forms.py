"""Stems, function words, and Chinese characters of both scripts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import snowballstemmer

from sightline.storage.isolation.caller_cache import CallerCache
from sightline.storage.text.normalization import fold_accents

#: Verbs in -ise and -yse, and their nouns: organise, organisation, analysing.
_VERB_ENDING = re.compile(
    r"(?<=[a-z]{2})([iy])s(e|ed|es|er|ers|ing|ings|ation|ations|ational|able)$"
)
_MIN_PREFIX = 4
_ENDINGS = range(6, 3, -1)
#: Stemming 256 words takes 5 ms. With shared stems a caller could time whether others use a text.
_stems: CallerCache[str, str] = CallerCache(20_000, max_total=100_000)


def stem(word: str) -> str:
    """Return the English stem of an ASCII word, and other words unchanged."""
    if not (word.isascii() and word.isalpha()):
        return word
    found = _stems.get(word)
    if found is None:
        # The stemmer has state: a new one per call is thread-safe.
        american = _american_spelling(word)
        base = _irregular_words().get(american, american)
        found = str(snowballstemmer.stemmer("english").stemWord(base))
        _stems.set(word, found)
    return found


def is_function_word(word: str) -> bool:
    """Return whether a normalized word says nothing about content."""
    return fold_accents(word) in _function_words()


def simplify_chinese(text: str) -> str:
    """Replace traditional and Japanese by simplified Chinese characters, one by one."""
    return text.translate(_simplified_characters())


def _american_spelling(word: str) -> str:
    """Return a word in American spelling, in which ``-ise`` and ``-ize`` are the same.

    Words of other languages may change too, in texts and queries alike.
    """
    whole, beginnings, endings = _british_words()
    if word in whole:
        return whole[word]
    for size in range(len(word), _MIN_PREFIX - 1, -1):
        if (american := beginnings.get(word[:size])) is not None:
            word = american + word[size:]
            break
    for size in _ENDINGS:
        if (american := endings.get(word[-size:])) is not None:
            word = word[:-size] + american
            break
    return _VERB_ENDING.sub(r"\1z\2", word)


@cache
def _british_words() -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return American spellings by whole word, by beginning and by ending."""
    whole: dict[str, str] = {}
    beginnings: dict[str, str] = {}
    endings: dict[str, str] = {}
    for british, american in data_rows("british_english.txt"):
        if british.endswith("-"):
            beginnings[british[:-1]] = american[:-1]
        elif british.startswith("-"):
            endings[british[1:]] = american[1:]
        else:
            whole[british] = american
    return whole, beginnings, endings


@cache
def _irregular_words() -> dict[str, str]:
    """Return the base by form."""
    return {form: base for base, *forms in data_rows("irregular_english.txt") for form in forms}


@cache
def _function_words() -> frozenset[str]:
    rows = data_rows("function_words.txt")
    return frozenset(fold_accents(word) for _, *words in rows for word in words)


@cache
def _simplified_characters() -> dict[int, str]:
    names = ("traditional_chinese.txt", "japanese_characters.txt")
    pairs = (pair for name in names for row in data_rows(name) for pair in row)
    return {ord(pair[0]): pair[1] for pair in pairs}


def data_rows(name: str) -> Iterator[list[str]]:
    """Yield the words of each line of a data file."""
    text = files(__package__).joinpath("data", name).read_text(encoding="utf-8")
    yield from (line.split() for line in text.splitlines() if not line.startswith("#"))
