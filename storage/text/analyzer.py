"""Turns text into search terms, the same way for passages and queries.

English words are stemmed, in American spelling; words of other languages also have the stems of
their language. Accented words are indexed with and without accents, and umlauts also as two
letters. Numbers and dates are indexed as printed and in one notation. Part numbers are indexed
whole, without separators, and in parts. Chinese text is indexed in simplified characters: as words,
for ranking, and as character pairs, for recall independent of segmentation. Stop words stay: BM25
gives common words a weight near 0, and "The Who" can still be found.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from sightline.storage.text.dates import find_dates, index_terms
from sightline.storage.text.lexer import (
    HAN,
    KANA,
    LATIN_WORD,
    SPACED_WORD,
    UNSPACED,
    Lexeme,
    separate_camel_case,
    tokenize,
)
from sightline.storage.text.normalization import fold_accents, normalize, spell_out_umlauts
from sightline.storage.text.numbers import find_spaced_numbers, shorten
from sightline.storage.text.stemming import detect_languages, marked_stems
from sightline.storage.text.word_forms import stem

MAX_CHARS = 262_144
"""Characters of a text that are analyzed. Only hostile text is longer."""
MAX_TERM_CHARS = 64
MAX_TOKENS = 50_000
MIN_WORD_CHARS = 3
_MAX_DETECTED_CHARS = 1_000
_MAX_TSVECTOR_BYTES = 900_000  # Postgres refuses a tsvector of 1,048,576
_MAX_POSITION = 16_383  # of a tsvector
_MAX_POSITIONS = 255  # per lexeme of a tsvector
MAX_FREQUENCY = 32_767  # smallint

_WORD = re.compile(rf"(?:(?!{UNSPACED.pattern})\w)+")

Language = Literal["en", "zh", "other"]


@dataclass(frozen=True, slots=True)
class Analysis:
    """Search data of a passage.

    ``tsvector`` contains words with positions from 1. ``frequencies`` are all terms for ranking,
    with character pairs. ``token_count`` is the length in words. ``words`` are the distinct English
    words before stemming.
    """

    language: Language
    tsvector: str
    frequencies: dict[str, int]
    token_count: int
    words: tuple[str, ...] = ()


def normalize_words(text: str, max_chars: int) -> str:
    """Return normalized text with the words of ``camelCase`` separated."""
    return normalize(separate_camel_case(text[:max_chars]), max_chars)


def analyze(text: str) -> Analysis:
    """Analyze a passage. Accepts any string; the result may be empty."""
    clean = normalize_words(text, MAX_CHARS)
    tokens: list[tuple[str, int]] = []
    frequencies: Counter[str] = Counter()
    surfaces: dict[str, None] = {}
    languages = text_languages(clean)
    if "en" in languages:
        languages = ()
    count = 0
    for count, lexeme in enumerate(islice(tokenize(clean), MAX_TOKENS), start=1):
        words = word_terms(lexeme)
        for term in words:
            tokens.append((term, count))
            frequencies[term] += 1
        tokens += ((stem_term(name), count) for name in lexeme.ends)
        if lexeme.word is not None:
            surfaces[lexeme.word] = None
        for name in lexeme.names:
            surfaces[name] = None
        if lexeme.grams:
            frequencies.update(gram for gram in lexeme.grams if gram not in words)
        for marked in stems_of(lexeme, languages):
            frequencies[marked] += 1
    for date in find_dates(clean):
        frequencies.update(index_terms(date))
    for number in find_spaced_numbers(clean):
        frequencies.update({number.value, shorten(number.value)})
    return Analysis(
        language=_guess_language(clean),
        tsvector=_tsvector(tokens),
        frequencies={term: min(n, MAX_FREQUENCY) for term, n in frequencies.items()},
        token_count=count,
        words=tuple(dict.fromkeys(filter(is_stemmed, map(fold_accents, surfaces)))),
    )


def word_terms(lexeme: Lexeme) -> tuple[str, ...]:
    """Return the terms of a lexeme, the one that phrases use first."""
    word = lexeme.word
    if word is not None and word.isascii() and not lexeme.names:
        return (stem_term(word),)
    terms: list[str] = []
    if word is not None:
        terms.append(stem_term(fold_accents(word)))
        if not word.isascii():
            terms += (stem_term(spell_out_umlauts(word)), limit_length(word))
    terms += map(stem_term, lexeme.names)
    terms += (*lexeme.values, *map(shorten, lexeme.values))
    return tuple(dict.fromkeys(terms))


def text_languages(clean: str) -> tuple[str, ...]:
    """Return the languages that a normalized text in Latin letters may be in."""
    return detect_languages(LATIN_WORD.findall(clean[:_MAX_DETECTED_CHARS]))


def stems_of(lexeme: Lexeme, languages: Sequence[str]) -> tuple[str, ...]:
    """Return the stems of a lexeme in languages other than English."""
    word = lexeme.word
    if word is None:  # Korean
        return marked_stems(lexeme.names[0], ()) if lexeme.grams else ()
    return marked_stems(word, languages) if languages or not word.isascii() else ()


def stem_term(word: str) -> str:
    """Return the stem of a word, or the word itself, as a term of limited length."""
    return limit_length(word) if len(word) >= MAX_TERM_CHARS else stem(word)


def vocabulary(words: Iterable[str], terms: Iterable[str]) -> dict[str, str]:
    """Return the words with which misspelled words are compared, each with its term.

    ``words`` and ``terms`` are those of analyses.
    """
    whole = (each for each in terms if is_word(each) and not is_stemmed(each))
    return {**{each: each for each in whole}, **{word: stem_term(word) for word in words}}


def is_word(text: str) -> bool:
    """Return whether a text is a whole word or number that may be misspelled."""
    return MIN_WORD_CHARS <= len(text) <= MAX_TERM_CHARS and _WORD.fullmatch(text) is not None


def is_stemmed(word: str) -> bool:
    """Return whether a word is of the kind whose term is an English stem."""
    return word.isascii() and word.isalpha() and MIN_WORD_CHARS <= len(word) <= MAX_TERM_CHARS


def _guess_language(text: str) -> Language:
    """Guess by script. A Chinese character counts as half a word; kana means Japanese."""
    han = len(HAN.findall(text))
    if len(KANA.findall(text)) * 10 > han > 0:
        return "other"
    words = SPACED_WORD.findall(text)
    latin = sum(map(str.isascii, words))
    if han / 2 > len(words):
        return "zh"
    return "en" if latin and latin * 10 >= len(words) * 8 else "other"


def limit_length(term: str) -> str:
    """Cut a term to 64 characters; a hash keeps long terms distinct."""
    if len(term) <= MAX_TERM_CHARS:
        return term
    digest = hashlib.blake2b(term.encode(), digest_size=8).hexdigest()
    return f"{term[: MAX_TERM_CHARS - 17]}~{digest}"


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
    return "'" + term.replace("\\", "\\\\").replace("'", "''") + "'"
