"""Render the demo tour: each tool call with its result and images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sightline.server.reports import templating


@dataclass(frozen=True, slots=True)
class TourImage:
    """An image of a step: lines of text and JPEG bytes (or text only)."""

    lines: Sequence[str]
    jpeg: bytes | None = None


@dataclass(frozen=True, slots=True)
class TourClaim:
    """A claim of an answer with its verdict, reasons, and outcomes of checks."""

    text: str
    verdict: str
    reasons: Sequence[str] = ()
    checks: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class TourStep:
    """One tool call of the tour."""

    title: str
    tool: str
    arguments: str
    result: str
    images: Sequence[TourImage] = ()
    claims: Sequence[TourClaim] = ()


def render(steps: Sequence[TourStep]) -> str:
    """Return the HTML page; all texts are escaped."""
    return templating.render("tour.html", steps=steps)
