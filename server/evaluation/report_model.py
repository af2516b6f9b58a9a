"""What a report consists of, whatever it measures and however it is written.

`markdown` and `page` write it. Nothing here is escaped: texts come from files, models and people.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sightline.server.evaluation.bootstrap import Estimate

Cell = str | int | Estimate | None
"""``None`` is an empty cell."""

Mark = Literal["asked", "wanted", "right", "wrong"]
"""Of a picture: given as the question, what should be found, a hit that is right, one that is not.
"""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under a head. ``strong`` are rows that matter most; ``shaded`` colours estimates by
    their value, 0 to 1; ``signed`` estimates are differences.
    """

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    strong: frozenset[int] = frozenset()
    shaded: bool = False
    signed: bool = False


@dataclass(frozen=True, slots=True)
class Chart:
    """Estimates side by side, 0 to 1, with their intervals. ``strong`` are rows to point out."""

    title: str
    rows: Sequence[tuple[str, Estimate]]
    note: str = ""
    strong: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture of a case: JPEG bytes, or none for text alone, and lines about it."""

    lines: Sequence[str]
    mark: Mark
    jpeg: bytes | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One query to look at: what was asked, facts about it, and pictures."""

    title: str
    facts: Sequence[str]
    pictures: Sequence[Shown]


@dataclass(frozen=True, slots=True)
class Gallery:
    """Cases to look at."""

    title: str
    cases: Sequence[Case]
    note: str = ""


Part = Table | Chart | Gallery


@dataclass(frozen=True, slots=True)
class Headline:
    """One number that says most: ``("nDCG@10, fused", "0.91", "0.89 to 0.93")``."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Section:
    """One thing that was measured."""

    title: str
    parts: Sequence[Part]
    text: str = ""
    headlines: Sequence[Headline] = field(default=())


@dataclass(frozen=True, slots=True)
class Report:
    """A whole report; ``facts`` say what was measured: (name, value)."""

    title: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[Section]
    notes: Sequence[str] = field(default=())
