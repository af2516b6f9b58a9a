"""Stems, function words, and Chinese characters of both scripts."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files

import snowballstemmer

from sightline.storage.isolation.caller_cache import CallerCache
from sightline.storage.text.normalization import fold_accents

#: Stemming 256 words takes 5 ms. With shared stems a caller could time whether others use a text.
_stems: CallerCache[str, str] = CallerCache(20_000, max_total=100_000)


def stem(word: str) -> str:
    """Return the English stem of an ASCII word, and other words unchanged."""
    if not (word.isascii() and word.isalpha()):
        return word
    found = _stems.get(word)
    if found is None:
        # The stemmer has state: a new one per call is thread-safe.
        base = _irregular_words().get(word, word)
        found = str(snowballstemmer.stemmer("english").stemWord(base))
        _stems.set(word, found)
    return found


def is_function_word(word: str) -> bool:
    """Return whether a normalized word says nothing about content."""
    return fold_accents(word) in _function_words()


def simplify_chinese(text: str) -> str:
    """Replace traditional by simplified Chinese characters, one by one."""
    return text.translate(_simplified_characters())


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
    pairs = (pair for row in data_rows("traditional_chinese.txt") for pair in row)
    return {ord(pair[0]): pair[1] for pair in pairs}


def data_rows(name: str) -> Iterator[list[str]]:
    """Yield the words of each line of a data file."""
    text = files(__package__).joinpath("data", name).read_text(encoding="utf-8")
    yield from (line.split() for line in text.splitlines() if not line.startswith("#"))
