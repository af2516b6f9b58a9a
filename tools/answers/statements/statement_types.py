"""What a claim states, as a small typed structure.

A question and its answer are read together: "How many red vans are there?" and "3" state that there
are three red vans. What cannot be read is None, and never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

from sightline.storage.text.hidden_characters import remove_invisible
from sightline.storage.unicode_forms import normalize_form

Kind = Literal[
    "count",
    "existence",
    "location",
    "relation",
    "color",
    "reading",
    "comparison",
    "time_of_day",
]
Relation = Literal["left", "right", "above", "below", "beside", "inside"]
Measure = Literal["size", "height", "width", "value", "count", "time", "level"]
"""What is compared. ``level`` is the place from top to bottom: the lower of two."""

OPPOSITES: Final[dict[Relation, Relation]] = {
    "left": "right",
    "right": "left",
    "above": "below",
    "below": "above",
}


@dataclass(frozen=True, slots=True)
class ClaimStatement:
    """A statement about one image.

    ``subject`` and ``other`` are phrases for objects. ``value`` is what is claimed: a color, a
    time of day, or written words; ``number`` is a count or the bound of a comparison. ``field``
    names what is read ("price", "total"). ``more`` says whether the subject has more of the
    measure than ``other`` or ``number``; without both, than everything else. ``holds`` is False
    for a denial. ``is_nearest`` says that nothing else has the relation and is nearer.
    """

    kind: Kind
    subject: str = ""
    other: str = ""
    relation: Relation | None = None
    value: str = ""
    number: float | None = None
    field: str = ""
    measure: Measure | None = None
    more: bool = True
    holds: bool = True
    is_nearest: bool = False


@dataclass(frozen=True, slots=True)
class QuestionForm:
    """A question, before its answer is known.

    ``wanted`` is the part of the statement that the answer fills: ``truth`` is yes or no, ``side``
    one of two relations, ``one_of`` the subject or the other object.
    """

    statement: ClaimStatement
    wanted: Literal["truth", "subject", "value", "number", "side", "one_of", "box"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """The readers of one language. Each returns None for what it does not understand."""

    read_question: Callable[[str], QuestionForm | None]
    read_sentence: Callable[[str], ClaimStatement | None]
    read_truth: Callable[[str], bool | None]
    read_side: Callable[[str], Relation | None]
    read_day_part: Callable[[str], str | None]


_ARTICLE: Final = re.compile(
    r"^(?:the|an?|any|some|these|those|this|that|its?|all(?: the)?|both|his|her|their)\s+",
    re.IGNORECASE,
)
_MARKS: Final = " .,;:!?。，？！"
_OPEN_QUOTES: Final = "\"'“‘「"
_QUOTES: Final = "\"'“”‘’「」"
_IRREGULAR: Final = {
    "people": "person",
    "men": "man",
    "women": "woman",
    "children": "child",
    "vertebrae": "vertebra",
    "knives": "knife",
    "shelves": "shelf",
    "leaves": "leaf",
    "mice": "mouse",
    "feet": "foot",
    "teeth": "tooth",
    "buses": "bus",
    "sheep": "sheep",
    "glasses": "glasses",
    "scissors": "scissors",
    "trousers": "trousers",
    "curtains": "curtains",
}


def flatten(text: str) -> str:
    """Return the text in NFKC on one line, without hidden characters."""
    return " ".join(normalize_form("NFKC", remove_invisible(text)).split())


def object_phrase(text: str) -> str:
    """Return a phrase without articles and marks at its ends."""
    phrase = text.strip(_MARKS)
    if phrase[:1] in _OPEN_QUOTES and not set(phrase[1:-1]) & set(_QUOTES):
        phrase = phrase.strip(_QUOTES + _MARKS)
    while (shorter := _ARTICLE.sub("", phrase)) != phrase:
        phrase = shorter
    return phrase.strip()


def singular(phrase: str) -> str:
    """Return an English phrase with its last word in the singular.

    >>> singular("red buses"), singular("berries"), singular("glass")
    ('red bus', 'berry', 'glass')
    """
    head, space, last = phrase.rpartition(" ")
    return f"{head}{space}{_singular_word(last)}"


def _singular_word(word: str) -> str:
    lower = word.lower()
    if lower in _IRREGULAR:
        return _IRREGULAR[lower]
    if not word.isascii() or not word.isalpha() or word.isupper() or len(word) < 4:
        return word
    if lower.endswith("ies"):
        return word[:-3] + "y"
    if lower.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if lower.endswith("s") and not lower.endswith(("ss", "us", "is")):
        return word[:-1]
    return word
