"""Phrases in quotation marks: adjacent words that a text must contain as they are."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import islice

from sightline.storage.text.analyzer import (
    MAX_CHARS,
    MAX_TOKENS,
    normalize_words,
    quote_term,
    stem_term,
    word_terms,
)
from sightline.storage.text.lexer import HAN, KANA, UNSPACED, tokenize
from sightline.storage.text.normalization import normalize

MAX_PHRASES = 8
_MAX_QUOTATIONS = 64  # those without a word are no phrases
_MAX_PHRASE_CHARS = 1_000
_MAX_PHRASE_WORDS = 64
_UNSPACED_RUN = re.compile(f"(?:{UNSPACED.pattern})+")
_NO_WORD = "\N{CURRENCY SIGN}"  # one position that matches no word
# An inch mark (5" x 7") follows a digit and opens no quotation.
_QUOTED = re.compile(r'(?<!\w)"([^"]+)"(?!\w)|“([^“”]+)”|「([^「」]+)」|『([^『』]+)』')


@dataclass(frozen=True, slots=True)
class Phrase:
    """A quoted phrase: a tsquery of adjacent words, or characters without spaces.

    Scripts without spaces use characters, because their segmentation depends on the sentence.
    ``units`` are those words, as terms, or characters, in order.
    """

    text: str
    words: str | None = None
    characters: str | None = None
    units: tuple[str, ...] = ()


def parse_phrases(query: str) -> tuple[Phrase, ...]:
    """Return the first phrases in quotation marks that contain a word.

    In Chinese and Japanese prose, quotation marks other than ``"`` only emphasize: there they make
    a phrase only if the query has nothing else.
    """
    found: dict[str, Phrase] = {}
    prose = _QUOTED.sub(" ", query)
    is_emphasis = HAN.search(prose) or KANA.search(prose)
    for match in islice(_QUOTED.finditer(query), _MAX_QUOTATIONS):
        if is_emphasis and not match.group().startswith('"'):
            continue
        phrase = parse_phrase(" ".join(_quoted_text(match).split()))
        if phrase is not None:
            found.setdefault(phrase.text, phrase)
    return tuple(found.values())[:MAX_PHRASES]


def remove_quotes(query: str) -> str:
    """Remove the quotation marks of phrases, for encoders."""
    return _QUOTED.sub(_quoted_text, query)


def _quoted_text(match: re.Match[str]) -> str:
    return match[match.lastindex or 0]


def parse_phrase(text: str) -> Phrase | None:
    """Return the phrase of words that were in quotation marks, None without a word."""
    clean = normalize(text, _MAX_PHRASE_CHARS)
    if UNSPACED.search(clean):
        characters = "".join(clean.split())
        return Phrase(text, characters=characters, units=tuple(characters))
    words = [terms[0] for each in tokenize(clean) if (terms := word_terms(each))]
    if not words:
        return None
    units = tuple(words[:_MAX_PHRASE_WORDS])
    return Phrase(text, words=" <-> ".join(map(quote_term, units)), units=units)


def phrase_positions(text: str, phrase: Phrase) -> list[tuple[str, ...]]:
    """Return the terms at each position of a text; a phrase matches adjacent ones.

    They are characters for a phrase of characters; for words, a run of Chinese is one position.
    """
    if phrase.characters is not None:
        return [(character,) for character in "".join(normalize(text, MAX_CHARS).split())]
    spaced = _UNSPACED_RUN.sub(f" {_NO_WORD} ", normalize_words(text, MAX_CHARS))
    return [
        (*word_terms(lexeme), *map(stem_term, lexeme.ends))
        for lexeme in islice(tokenize(spaced), MAX_TOKENS)
    ]
