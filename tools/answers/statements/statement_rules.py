"""Rules that both languages share: trying patterns, and what a match means."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TypeVar

from sightline.tools.answers.statements.color_words import color_names
from sightline.tools.answers.statements.statement_types import ClaimStatement, QuestionForm
from sightline.tools.answers.statements.written_values import find_times, iter_minutes

T = TypeVar("T")
Match = re.Match[str]


def first_match(
    rules: Sequence[tuple[str, Callable[[Match], T | None]]],
    text: str,
    flags: re.RegexFlag = re.NOFLAG,
) -> T | None:
    """Return what the first pattern that fits the whole text means, else None."""
    for pattern, build in rules:
        match = re.fullmatch(pattern, text, flags)
        if match is not None and (built := build(match)) is not None:
            return built
    return None


def day_question(parts: Collection[str]) -> QuestionForm:
    """Return the question whether it is the only part given, or which part it is."""
    if len(parts) == 1:
        (part,) = parts
        return QuestionForm(ClaimStatement("time_of_day", value=part), "truth")
    return QuestionForm(ClaimStatement("time_of_day"), "value")


def time_bound(time: str, *, is_later: bool) -> QuestionForm | None:
    """Return the question whether it is later or earlier than the only time of a text."""
    minutes = set(iter_minutes(find_times(time)))
    if len(minutes) != 1:
        return None
    bound = float(minutes.pop())
    statement = ClaimStatement("comparison", number=bound, measure="time", more=is_later)
    return QuestionForm(statement, "truth")


def which_has_color(match: Match) -> QuestionForm | None:
    """Return the question which object has the only color of the match."""
    colors = color_names(match["color"])
    if len(colors) != 1:
        return None
    return QuestionForm(ClaimStatement("color", value=colors.pop()), "subject")
