"""Parses a search query: terms with weights, and quoted phrases."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sightline.storage.text.analyzer import Language, guess_language, quote_term, word_terms
from sightline.storage.text.lexer import HAN, UNSPACED, tokenize
from sightline.storage.text.normalization import normalize

MAX_QUERY_CHARS = 131_072
MAX_QUERY_TERMS = 256
"""Distinct terms that rank. Of a longer query, the first ones."""
MAX_WORD_PAIRS = 16
"""Adjacent word pairs that rank. Of a longer query, the first ones."""
GRAM_WEIGHT = 0.4
"""Weight of a character pair beside a word: words are for precision, pairs for recall."""
MAX_PHRASES = 8
_MAX_PHRASE_CHARS = 1_000
_MAX_PHRASE_WORDS = 64
# An inch mark (5" x 7") follows a digit and opens no quotation.
_QUOTED = re.compile(r'(?<!\w)"([^"]+)"(?!\w)|“([^“”]+)”|「([^「」]+)」|『([^『』]+)』')


@dataclass(frozen=True, slots=True)
class TextQuery:
    """Terms of a query with their ``weights`` (0 to 1, same order).

    ``prefixes`` are single Chinese characters: they match any term that starts with one.
    ``word_pairs`` are indexes into ``terms`` of adjacent words. ``truncated``: the query was too
    long to use all of it.
    """

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    prefixes: tuple[str, ...]
    word_pairs: tuple[tuple[int, int], ...]
    language: Language
    truncated: bool

    def __bool__(self) -> bool:
        return bool(self.terms)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A quoted phrase. Exactly one of ``words`` and ``characters`` is set.

    ``words`` is a tsquery of adjacent words. ``characters`` is normalized text without spaces, for
    scripts without spaces, where segmentation depends on the sentence.
    """

    text: str
    words: str | None = None
    characters: str | None = None


def analyze_query(text: str) -> TextQuery:
    """Analyze a query. Accepts any text; without words the result has no terms."""
    clean = normalize(text, MAX_QUERY_CHARS)
    weights: dict[str, float] = {}
    prefixes: dict[str, None] = {}
    word_pairs: dict[tuple[str, str], None] = {}
    previous: str | None = None
    truncated = len(text) > MAX_QUERY_CHARS
    for lexeme in tokenize(clean):
        if len(weights) >= MAX_QUERY_TERMS:
            truncated = True
            break
        words = word_terms(lexeme)
        weights.update(dict.fromkeys(words, 1.0))
        if previous is not None and words and previous != words[0]:
            word_pairs[previous, words[0]] = None
        previous = words[0] if words else None
        for gram in lexeme.grams:
            weights.setdefault(gram, GRAM_WEIGHT)
        if len(lexeme.grams) == 1 and words == lexeme.grams and HAN.fullmatch(words[0]):
            prefixes[words[0]] = None
    terms = list(weights)[:MAX_QUERY_TERMS]
    index = {term: position for position, term in enumerate(terms)}
    return TextQuery(
        terms=tuple(terms),
        weights=tuple(weights[term] for term in terms),
        prefixes=tuple(prefixes),
        word_pairs=tuple(
            (index[first], index[second])
            for first, second in word_pairs
            if first in index and second in index
        )[:MAX_WORD_PAIRS],
        language=guess_language(clean),
        truncated=truncated,
    )


def parse_phrases(query: str) -> tuple[Phrase, ...]:
    """Return the first phrases in quotation marks that contain a word."""
    found: dict[str, Phrase] = {}
    for match in _QUOTED.finditer(query):
        phrase = _parse_phrase(" ".join(_quoted_text(match).split()))
        if phrase is not None:
            found.setdefault(phrase.text, phrase)
    return tuple(found.values())[:MAX_PHRASES]


def remove_quotes(query: str) -> str:
    """Remove the quotation marks of phrases, for encoders."""
    return _QUOTED.sub(_quoted_text, query)


def _quoted_text(match: re.Match[str]) -> str:
    return match[match.lastindex or 0]


def _parse_phrase(text: str) -> Phrase | None:
    clean = normalize(text, _MAX_PHRASE_CHARS)
    if UNSPACED.search(clean):
        return Phrase(text, characters="".join(clean.split()))
    words = [terms[0] for lexeme in tokenize(clean) if (terms := word_terms(lexeme))]
    if not words:
        return None
    return Phrase(text, words=" <-> ".join(quote_term(word) for word in words[:_MAX_PHRASE_WORDS]))
