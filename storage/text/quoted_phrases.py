"""Quoted words of a query: they have to stand together, in their order."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sightline.storage.text.analyzer import quoted, word_terms
from sightline.storage.text.lexer import UNSPACED, lexemes
from sightline.storage.text.normalization import normalise

MOST_PHRASES = 8
_MOST_CHARS = 1_000
_MOST_WORDS = 64
# A mark that stands for inches (5" x 7") follows a digit, and opens nothing.
_QUOTED = re.compile(r'(?<!\w)"([^"]+)"(?!\w)|“([^“”]+)”|「([^「」]+)」|『([^『』]+)』')
_SPACE = re.compile(r"\s+")


@dataclass(frozen=True, slots=True)
class Phrase:
    """What was quoted; how it is looked for depends on the writing.

    ``words`` is a tsquery of neighbours. ``characters`` is normalised text without spaces, for
    writing that has none: what is a word there differs from sentence to sentence. One is None.
    """

    text: str
    words: str | None = None
    characters: str | None = None


def phrases(query: str) -> tuple[Phrase, ...]:
    """What stands in quotation marks ("…", “…”, 「…」, 『…』) and holds a word; the first eight."""
    found: dict[str, Phrase] = {}
    for match in _QUOTED.finditer(query):
        text = next(group for group in match.groups() if group is not None)
        phrase = _phrase(" ".join(text.split()))
        if phrase is not None:
            found.setdefault(phrase.text, phrase)
    return tuple(found.values())[:MOST_PHRASES]


def unquoted(query: str) -> str:
    """The query without the marks of its phrases, as an encoder takes it."""
    return _QUOTED.sub(lambda match: next(g for g in match.groups() if g is not None), query)


def _phrase(text: str) -> Phrase | None:
    clean = normalise(text, _MOST_CHARS)
    if UNSPACED.search(clean):
        return Phrase(text, characters=_SPACE.sub("", clean))
    words = [terms[0] for place in lexemes(clean) if (terms := word_terms(place))]
    if not words:
        return None
    return Phrase(text, words=" <-> ".join(quoted(word) for word in words[:_MOST_WORDS]))
