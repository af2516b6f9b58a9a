"""What a query asks for, in the terms that `analysis` stores."""

from __future__ import annotations

from dataclasses import dataclass

from sightline.storage.text.analyzer import Language, gram_terms, guess_language, word_terms
from sightline.storage.text.lexer import HAN, lexemes
from sightline.storage.text.normalization import normalise

MAX_QUERY_CHARS = 131_072
MAX_QUERY_TERMS = 256
"""Distinct terms that rank; a query of 10,000 words is ranked by its first 256."""
MAX_NEIGHBOURS = 16
"""Pairs of neighbours that rank; of a longer query, the first."""
GRAM_WEIGHT = 0.4
"""Of a pair of characters beside a word: words rank, pairs recall."""


@dataclass(frozen=True, slots=True)
class Query:
    """``terms`` with their ``weights`` (0 to 1, same order), the most telling kind at 1.

    ``beginnings`` are single Chinese characters that the query holds alone: any term that begins
    with one matches. ``neighbours`` are pairs of places in ``terms`` of words that stand side by
    side, in their order. ``truncated`` says that not all of the query could be used.
    """

    terms: tuple[str, ...]
    weights: tuple[float, ...]
    beginnings: tuple[str, ...]
    neighbours: tuple[tuple[int, int], ...]
    language: Language
    truncated: bool

    def __bool__(self) -> bool:
        """Whether there is anything to look for."""
        return bool(self.terms)


def analyse_query(text: str) -> Query:
    """Analyse a query. Never fails; a query without a word or a sign gives no terms."""
    clean = normalise(text, MAX_QUERY_CHARS)
    weights: dict[str, float] = {}
    beginnings: dict[str, None] = {}
    neighbours: dict[tuple[str, str], None] = {}
    before: str | None = None
    truncated = len(text) > MAX_QUERY_CHARS
    for place in lexemes(clean):
        if len(weights) >= MAX_QUERY_TERMS:
            truncated = True
            break
        words = word_terms(place)
        for word in words:
            weights[word] = 1.0
        if before is not None and words and before != words[0]:
            neighbours[before, words[0]] = None
        before = words[0] if words else None
        for gram in gram_terms(place, words):
            weights.setdefault(gram, GRAM_WEIGHT)
        if len(place.grams) == 1 and words == place.grams and HAN.fullmatch(words[0]):
            beginnings[words[0]] = None
    kept = list(weights.items())[:MAX_QUERY_TERMS]
    places = {term: place for place, (term, _) in enumerate(kept)}
    return Query(
        terms=tuple(term for term, _ in kept),
        weights=tuple(weight for _, weight in kept),
        beginnings=tuple(beginnings),
        neighbours=tuple(
            (places[first], places[second])
            for first, second in neighbours
            if first in places and second in places
        )[:MAX_NEIGHBOURS],
        language=guess_language(clean),
        truncated=truncated,
    )
