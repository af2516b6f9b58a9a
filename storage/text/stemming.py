"""Stems of other languages than English, which unite the forms of a word.

The language of a text in Latin letters is detected by frequent words, endings and letters; other
scripts have one stemmer each. English text gets no such stems, so that they cannot confuse its
words. A query is often too short to tell its language: its words get the stems of all of them.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

import snowballstemmer

from sightline.storage.isolation.caller_cache import CallerCache
from sightline.storage.text.normalization import fold_accents
from sightline.storage.text.word_forms import data_rows

#: Stands before a stem, so that it is not taken for a word: "~rechnung".
MARK: Final = "~"
MAX_STEMS = 8
"""Stems of a word of a query whose language is unknown."""
_MAX_DETECTED_WORDS = 100
#: Points by which a text may be in another language than the most likely one.
_TIE = 0.05
#: Points that tell a language: half of a word that only two languages have.
_MIN_POINTS = 0.15
_MAX_TIED = 4
_MIN_LETTERS = 4  # in Latin
_MAX_LETTERS = 40
#: Letters of an ending, the longest first.
_ENDING_LETTERS = range(6, 1, -1)
#: Points of frequent words that need no endings and letters beside them.
_CLEAR_POINTS = 2.0
_POINTS_OF_ENDING, _POINTS_OF_LETTER = 1.0, 0.5

_ALGORITHMS: Final = {
    "de": "german",
    "fr": "french",
    "es": "spanish",
    "it": "italian",
    "pt": "portuguese",
    "nl": "dutch",
    "sv": "swedish",
    "da": "danish",
    "no": "norwegian",
    "pl": "polish",
    "fi": "finnish",
    "hu": "hungarian",
    "cs": "czech",
    "ro": "romanian",
    "tr": "turkish",
}
#: The stemmer of a script, by its characters.
_SCRIPTS: Final = (
    ("russian", re.compile(r"[\u0400-\u04ff]+")),
    ("greek", re.compile(r"[\u0370-\u03ff\u1f00-\u1fff]+")),
    ("persian", re.compile(r"(?=.*[پچژگکی])[\u0600-\u06ff]+")),
    ("arabic", re.compile(r"[\u0600-\u06ff]+")),
    ("hindi", re.compile(r"[\u0900-\u097f]+")),
    ("armenian", re.compile(r"[\u0530-\u058f]+")),
    ("korean", re.compile(r"[\uac00-\ud7a3]+")),
)
_LATIN: Final = re.compile(r"[a-z\u00df-\u024f\u1e00-\u1eff]+")
#: Particles at the end of a Korean noun, and forms of "to be".
_PARTICLES: Final = re.compile(
    r"(?:에서는|에게서|으로는|이라고|입니다|에서|에게|에는|으로|까지|부터|보다|처럼|이나|라고|하고"
    r"|이다|은|는|이|가|을|를|에|로|와|과|의|도|만|나)$"
)
_stems: CallerCache[tuple[str, str], str] = CallerCache(20_000, max_total=100_000)


def detect_languages(words: Sequence[str]) -> tuple[str, ...]:
    """Return the most likely languages of normalized words in Latin letters.

    The result is ``("en",)`` if English is among them, and empty if the words tell no language.
    """
    points: defaultdict[str, float] = defaultdict(float)
    by_word, by_ending, by_letter = _marks()
    words = words[:_MAX_DETECTED_WORDS]
    for word, count in Counter(words).items():
        if (languages := by_word.get(word)) is not None:
            _add_points(points, languages, count)
    if not _is_clear(points):
        for word in words:
            sizes = (size for size in _ENDING_LETTERS if size < len(word))
            longest = next((each for n in sizes if (each := by_ending.get(word[-n:]))), ())
            _add_points(points, longest, _POINTS_OF_ENDING)
            if not word.isascii():
                for letter in set(word):
                    _add_points(points, by_letter.get(letter, ()), _POINTS_OF_LETTER)
    best = max(points.values(), default=0.0)
    if best < _MIN_POINTS:
        return ()
    likely = sorted(each for each, value in points.items() if value >= best - _TIE)
    if "en" in likely:
        return ("en",)
    return () if len(likely) > _MAX_TIED else tuple(likely)


def _add_points(points: dict[str, float], languages: Sequence[str], value: float) -> None:
    """Share points between the languages that have a mark."""
    for language in languages:
        points[language] += value / len(languages)


def _is_clear(points: Mapping[str, float]) -> bool:
    """Return whether the words alone tell the language."""
    best, second = sorted([*points.values(), 0.0, 0.0], reverse=True)[:2]
    return best >= _CLEAR_POINTS and best >= 2 * second


def marked_stems(word: str, languages: Sequence[str]) -> tuple[str, ...]:
    """Return the stems of a word in the languages of its text, with their mark.

    A word of another script has the stem of its script.
    """
    if len(word) > _MAX_LETTERS:
        return ()
    if _LATIN.fullmatch(word):
        if len(word) < _MIN_LETTERS:
            return ()
        stems = [_stem(_ALGORITHMS[each], word) for each in languages if each in _ALGORITHMS]
    else:
        stems = [_stem(name, word) for name, script in _SCRIPTS if script.fullmatch(word)][:1]
    return tuple(dict.fromkeys(MARK + each for each in stems if each))


def possible_stems(word: str, languages: Sequence[str]) -> tuple[str, ...]:
    """Return the stems that a word may have: in all languages if none is detected."""
    return marked_stems(word, languages or tuple(_ALGORITHMS))[:MAX_STEMS]


def _stem(algorithm: str, word: str) -> str:
    key = algorithm, word
    found = _stems.get(key)
    if found is None:
        if algorithm == "korean":
            found = _without_particle(word)
        else:
            # The stemmer has state: a new one per call is thread-safe.
            stem = snowballstemmer.stemmer(algorithm).stemWord(word)
            found = fold_accents(stem)
            if algorithm == "arabic":
                found = _arabic_singulars().get(found, found)
        _stems.set(key, found)
    return found


def _without_particle(word: str) -> str:
    bare = _PARTICLES.sub("", word)
    return bare if len(bare) > 1 else word


@cache
def _marks() -> tuple[Mapping[str, tuple[str, ...]], ...]:
    """Return the languages by word, by ending and by letter."""
    found: tuple[defaultdict[str, list[str]], ...] = tuple(defaultdict(list) for _ in range(3))
    for language, *marks in data_rows("languages.txt"):
        for mark in dict.fromkeys(marks):
            kind = "-*".find(mark[0]) + 1
            found[kind][mark if kind == 0 else mark[1:]].append(language)
    return tuple({mark: tuple(each) for mark, each in marks.items()} for marks in found)


@cache
def _arabic_singulars() -> dict[str, str]:
    """Return the stem of the singular by the stem of a broken plural."""

    def stem(word: str) -> str:
        return fold_accents(str(snowballstemmer.stemmer("arabic").stemWord(word)))

    rows = data_rows("irregular_arabic.txt")
    return {stem(plural): stem(base) for base, *plurals in rows for plural in plurals}
