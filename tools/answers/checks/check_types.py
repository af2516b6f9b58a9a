"""The result of one check, and what all checks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sightline.storage.types import Box
from sightline.tools.answers.statements.statement_types import ClaimStatement

Outcome = Literal["supported", "contradicted", "unknown"]


@dataclass(frozen=True, slots=True)
class FoundPlace:
    """A normalized box on the image, and what found it; ``score`` is 0 to 1."""

    label: str
    box: Box
    score: float
    origin: Literal["detector", "text"]


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found out about a statement.

    ``places`` and ``texts`` are its evidence; ``measured`` are named values of it, such as
    ``{"count": 3}``. ``milliseconds`` is the time that the check took.
    """

    check: str
    outcome: Outcome
    reason: str
    places: tuple[FoundPlace, ...] = ()
    texts: tuple[str, ...] = ()
    measured: tuple[tuple[str, float], ...] = ()
    milliseconds: float = 0.0


def outcome_of(agrees: bool, statement: ClaimStatement) -> Outcome:
    """Return the outcome if the statement is true (``agrees``) apart from its denial."""
    return "supported" if agrees == statement.holds else "contradicted"
