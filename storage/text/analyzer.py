"""Turns text into search terms, the same way for passages and queries.

English words are stemmed. Accented words are indexed with and without accents. Part numbers are
indexed whole, without separators, and in parts. Chinese text is indexed as words, for ranking, and
as character pairs, for recall independent of segmentation. Stop words stay: BM25 gives common words
a weight near 0, and "The Who" can still be found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from typing import Literal

import snowballstemmer

from sightline.storage.text.lexer import HAN, KANA, SPACED_WORD, Lexeme, tokenize
from sightline.storage.text.normalization import fold_accents, normalize

MAX_CHARS = 262_144
"""Characters of a text that are analyzed. Only hostile text is longer."""
MAX_TERM_CHARS = 64
_MAX_TOKENS = 50_000
_MAX_TSVECTOR_BYTES = 900_000  # Postgres refuses a tsvector of 1,048,576
_MAX_POSITION = 16_383  # of a tsvector
_MAX_POSITIONS = 255  # per lexeme of a tsvector
_MAX_FREQUENCY = 32_767  # smallint

Language = Literal["en", "zh", "other"]


@dataclass(frozen=True, slots=True)
class TermPosition:
    """A term at a position. Several terms may share a position."""

    term: str
    position: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """Search data of a passage.

    ``tokens`` and ``tsvector`` contain words with positions from 1. ``frequencies`` are all terms
    for ranking, with character pairs. ``token_count`` is the length in words.
    """

    language: Language
    tokens: tuple[TermPosition, ...]
    tsvector: str
    frequencies: dict[str, int]
    token_count: int


def analyze(text: str) -> Analysis:
    """Analyze a passage. Accepts any string; the result may be empty."""
    clean = normalize(text, MAX_CHARS)
    tokens: list[tuple[str, int]] = []
    frequencies: Counter[str] = Counter()
    count = 0
    for count, lexeme in enumerate(islice(tokenize(clean), _MAX_TOKENS), start=1):
        words = word_terms(lexeme)
        tokens.extend((term, count) for term in words)
        frequencies.update(words)
        frequencies.update(gram for gram in lexeme.grams if gram not in words)
    return Analysis(
        language=guess_language(clean),
        tsvector=_tsvector(tokens),
        frequencies={term: min(n, _MAX_FREQUENCY) for term, n in frequencies.items()},
        token_count=count,
    )


def word_terms(lexeme: Lexeme) -> tuple[str, ...]:
    """Return the distinct terms of a lexeme that count as words."""
    terms: list[str] = []
    if lexeme.word is not None:
        folded = fold_accents(lexeme.word)
        terms.append(_stem(_limit_length(folded)))
        if folded != lexeme.word:
            terms.append(_limit_length(lexeme.word))
    return tuple(dict.fromkeys([*terms, *map(_limit_length, lexeme.names)]))


def guess_language(text: str) -> Language:
    """Guess by script. A Chinese character counts as half a word; kana means Japanese."""
    han = len(HAN.findall(text))
    if len(KANA.findall(text)) * 10 > han > 0:
        return "other"
    words = SPACED_WORD.findall(text)
    latin = sum(map(str.isascii, words))
    if han / 2 > len(words):
        return "zh"
    return "en" if latin and latin * 10 >= len(words) * 8 else "other"


def _limit_length(term: str) -> str:
    """Cut a term to 64 characters; a hash keeps long terms distinct."""
    if len(term) <= MAX_TERM_CHARS:
        return term
    digest = hashlib.blake2b(term.encode(), digest_size=8).hexdigest()
    return f"{term[: MAX_TERM_CHARS - 17]}~{digest}"


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    """Return the English stem of an ASCII word; return other words unchanged."""
    if not (word.isascii() and word.isalpha()) or len(word) == MAX_TERM_CHARS:
        return word
    # The stemmer has state: a new one per call is thread-safe.
    stem: str = snowballstemmer.stemmer("english").stemWord(word)
    return stem


def _tsvector(tokens: list[tuple[str, int]]) -> str:
    """Return the literal ``'term':1,5 'other':2`` within the limits of Postgres."""
    by_term: dict[str, list[int]] = {}
    size = 0
    for term, position in tokens:
        if term not in by_term:
            size += len(term.encode()) + 8
            if size > _MAX_TSVECTOR_BYTES:
                break
        positions = by_term.setdefault(term, [])
        if position <= _MAX_POSITION and len(positions) < _MAX_POSITIONS:
            size += 2
            positions.append(position)
    return " ".join(
        quote_term(term) + (":" + ",".join(map(str, positions)) if positions else "")
        for term, positions in sorted(by_term.items())
    )


def quote_term(term: str) -> str:
    """Quote a term for tsvector and tsquery literals."""
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
