"""One analysis for passages and for queries.

English words are stemmed; accents are kept and folded as well; part numbers are kept whole,
squashed and in parts; Chinese becomes words, which rank, and pairs of characters, which make sure
that it is found however a sentence was cut. Stop words stay: their inverse document frequency is
near 0 where they are common, and "The Who" can still be found.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import snowballstemmer

from sightline.storage.text.lexer import HAN, KANA, SPACED_WORD, Lexeme, lexemes
from sightline.storage.text.normalization import fold_accents, normalise

MAX_CHARS = 262_144
"""Characters of one text that are analysed; a passage is far shorter, hostile text is not."""
MAX_TERM_CHARS = 64
_MAX_TOKENS = 50_000
_MAX_TSVECTOR_BYTES = 900_000  # Postgres refuses a tsvector of 1,048,576
_MAX_POSITION = 16_383  # and clamps positions here,
_MAX_POSITIONS = 255  # of which it keeps so many a lexeme
_MAX_FREQUENCY = 32_767  # smallint

Language = Literal["en", "zh", "other"]


@dataclass(frozen=True, slots=True)
class Token:
    """A term where it stands; several terms may share a position."""

    term: str
    position: int


@dataclass(frozen=True, slots=True)
class Analysis:
    """What is stored of a passage's text.

    ``tokens`` and ``tsvector`` hold words with positions (from 1); ``frequencies`` are the terms
    for ranking, pairs of characters included, at most 32,767 each; ``token_count`` is the length
    in words.
    """

    language: Language
    tokens: tuple[Token, ...]
    tsvector: str
    frequencies: dict[str, int]
    token_count: int


def analyse(text: str) -> Analysis:
    """Analyse a passage. Never fails: any string gives an analysis, if an empty one."""
    clean = normalise(text, MAX_CHARS)
    tokens: list[Token] = []
    frequencies: Counter[str] = Counter()
    count = 0
    for place in lexemes(clean):
        if count == _MAX_TOKENS:
            break
        count += 1
        words = word_terms(place)
        tokens.extend(Token(term, count) for term in words)
        frequencies.update(words)
        frequencies.update(gram_terms(place, words))
    return Analysis(
        language=guess_language(clean),
        tokens=tuple(tokens),
        tsvector=_tsvector(tokens),
        frequencies={term: min(n, _MAX_FREQUENCY) for term, n in frequencies.items()},
        token_count=count,
    )


def word_terms(place: Lexeme) -> tuple[str, ...]:
    """The terms of a place that count as words, without repeats."""
    return tuple(dict.fromkeys(_terms_of(place)))


def gram_terms(place: Lexeme, words: tuple[str, ...]) -> tuple[str, ...]:
    """The terms of a place that only help to find it."""
    return tuple(gram for gram in place.grams if gram not in words)


def guess_language(text: str) -> Language:
    """By script: a Chinese character weighs as half a word; kana makes it Japanese, so other."""
    han = len(HAN.findall(text))
    if len(KANA.findall(text)) * 10 > han > 0:
        return "other"
    words = SPACED_WORD.findall(text)
    latin = sum(1 for word in words if word.isascii())
    if han / 2 > len(words):
        return "zh"
    return "en" if latin and latin * 10 >= len(words) * 8 else "other"


def _terms_of(place: Lexeme) -> Iterator[str]:
    if place.plain is not None:
        folded = fold_accents(place.plain)
        yield _stem(_short(folded))
        if folded != place.plain:
            yield _short(place.plain)
    for name in place.names:
        yield _short(name)


def _short(term: str) -> str:
    """A term of at most 64 characters: longer ones are cut and told apart by a hash."""
    if len(term) <= MAX_TERM_CHARS:
        return term
    digest = hashlib.blake2b(term.encode("utf-8"), digest_size=8).hexdigest()
    return f"{term[: MAX_TERM_CHARS - 17]}~{digest}"


@lru_cache(maxsize=100_000)
def _stem(word: str) -> str:
    """English stems of words in plain Latin letters; others as they are."""
    if not (word.isascii() and word.isalpha()) or len(word) == MAX_TERM_CHARS:
        return word
    # The stemmer keeps state: one each call is what makes this safe in threads.
    stem: str = snowballstemmer.stemmer("english").stemWord(word)
    return stem


def _tsvector(tokens: list[Token]) -> str:
    """The literal ``'term':1,5 'other':2``, within Postgres' limits."""
    places: dict[str, list[int]] = {}
    size = 0
    for token in tokens:
        found = places.get(token.term)
        if found is None:
            size += len(token.term.encode("utf-8")) + 8
            if size > _MAX_TSVECTOR_BYTES:
                break
            found = places[token.term] = []
        if token.position <= _MAX_POSITION and len(found) < _MAX_POSITIONS:
            size += 2
            found.append(token.position)
    return " ".join(
        quoted(term) + (":" + ",".join(map(str, positions)) if positions else "")
        for term, positions in sorted(places.items())
    )


def quoted(term: str) -> str:
    """A term as tsvector and tsquery literals hold it, whatever characters it has."""
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
