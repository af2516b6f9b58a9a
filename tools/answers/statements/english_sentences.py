"""Read English sentences as statements."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

from sightline.tools.answers.statements.color_words import color_names
from sightline.tools.answers.statements.english_vocabulary import (
    CLOSE,
    COLOR_WORD,
    DAY_PART,
    MEASURE,
    NUMBER_WORD,
    PLACE,
    RELATION,
    SHOWS,
    TAIL,
    A,
    B,
    compared,
    noun,
    read_day_part,
    relation,
)
from sightline.tools.answers.statements.statement_rules import Match, first_match
from sightline.tools.answers.statements.statement_types import ClaimStatement, object_phrase
from sightline.tools.answers.statements.written_values import read_count


def read_sentence(sentence: str) -> ClaimStatement | None:
    """Return what a flat sentence states on its own, None if it is not understood."""
    text = PLACE.sub("", sentence.strip(" .!")).strip(" .!,")
    return first_match(_SENTENCES, text, re.IGNORECASE)


def _sentence_count(match: Match) -> ClaimStatement | None:
    number = read_count(match["number"])
    subject = noun(match["a"])
    if number is None or not subject:
        return None
    return ClaimStatement("count", subject, number=float(number))


def _sentence_existence(match: Match) -> ClaimStatement | None:
    subject = noun(match["a"])
    return ClaimStatement("existence", subject, holds=match["no"] is None) if subject else None


def _sentence_relation(match: Match) -> ClaimStatement:
    return ClaimStatement(
        "relation",
        noun(match["a"]),
        noun(match["b"]),
        relation=relation(match),
        holds=match["not"] is None,
    )


def _sentence_color(match: Match) -> ClaimStatement | None:
    colors = color_names(match["color"])
    if len(colors) != 1:
        return None
    return ClaimStatement("color", noun(match["a"]), value=colors.pop(), holds=match["not"] is None)


def _sentence_reading(match: Match) -> ClaimStatement:
    groups = match.groupdict()
    return ClaimStatement(
        "reading",
        object_phrase(groups.get("a") or ""),
        field=object_phrase(groups.get("field") or ""),
        value=object_phrase(match["value"]),
    )


_SENTENCES: Final[Sequence[tuple[str, Callable[[Match], ClaimStatement | None]]]] = (
    (
        (
            rf"(?:there (?:is|are|were)|{SHOWS} (?:shows|contains|has)|(?:you|we|i) can see"
            r"|i (?:see|count))"
            rf" (?:exactly |only |a total of )?{NUMBER_WORD} {A}{TAIL}"
        ),
        _sentence_count,
    ),
    (
        (
            rf"(?:there (?:is|are)|{SHOWS} (?:shows|contains|has)|(?:you|we|i) can see) "
            rf"(?:(?P<no>no|not any|not an?) |an? |some )?{A}"
        ),
        _sentence_existence,
    ),
    (
        rf"(?:it|the time) (?:is|was|looks like|shows?)\b.*{DAY_PART.pattern}.*",
        lambda match: (
            ClaimStatement("time_of_day", value=part)
            if (part := read_day_part(match.group()))
            else None
        ),
    ),
    (rf"{A} (?:is|are) (?P<measure>{MEASURE}) than {B}", compared),
    (
        rf"{A} (?:is|are|stands?|lies|sits) (?P<not>not )?{CLOSE}(?:{RELATION}) {B}",
        _sentence_relation,
    ),
    (rf"{A} (?:is|are) (?P<not>not )?(?P<color>{COLOR_WORD})", _sentence_color),
    (rf"(?:the )?{A} (?:says|reads) (?P<value>.+)", _sentence_reading),
    (
        (
            r"(?:the |its )?(?P<field>(?!because|it\b|this|that|there|he\b|she|they|you|i\b)"
            r"[a-z][\w -]{2,30}?) (?:is|was|:) (?P<value>.+)"
        ),
        _sentence_reading,
    ),
    (rf"(?:the )?{A} costs (?P<value>.+)", _sentence_reading),
)
