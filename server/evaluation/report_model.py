"""Data model of an evaluation report, independent of the output format.

`markdown_report` and `server.reports.evaluation_page` render it and escape all texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from sightline.server.evaluation.bootstrap import Estimate

Cell = str | int | Estimate | None
"""``None`` is an empty cell."""

ImageRole = Literal["query", "relevant", "correct", "incorrect"]
"""The query image, an expected result, or a hit that is relevant or not."""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """A table.

    ``highlighted`` are the indexes of the most important rows. ``heatmap`` colors estimates by
    value (0 to 1). ``signed`` estimates are differences.
    """

    kind: ClassVar = "table"

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    highlighted: frozenset[int] = frozenset()
    heatmap: bool = False
    signed: bool = False


@dataclass(frozen=True, slots=True)
class ReportChart:
    """A bar chart of estimates (0 to 1) with their intervals."""

    kind: ClassVar = "chart"

    title: str
    rows: Sequence[tuple[str, Estimate]]
    note: str = ""
    highlighted: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class ReportImage:
    """An image of an example query: JPEG bytes (or text only) and lines of text."""

    lines: Sequence[str]
    role: ImageRole
    jpeg: bytes | None = None


@dataclass(frozen=True, slots=True)
class ExampleQuery:
    """One query with facts about it and its images."""

    title: str
    facts: Sequence[str]
    images: Sequence[ReportImage]


@dataclass(frozen=True, slots=True)
class ExampleGallery:
    """A list of example queries."""

    kind: ClassVar = "gallery"

    title: str
    examples: Sequence[ExampleQuery]
    note: str = ""


ReportBlock = ReportTable | ReportChart | ExampleGallery


@dataclass(frozen=True, slots=True)
class Headline:
    """A key figure, for example ``("nDCG@10, fused", "0.91", "0.89 to 0.93")``."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class ReportSection:
    """The results of one kind of measurement."""

    title: str
    blocks: Sequence[ReportBlock]
    text: str = ""
    headlines: Sequence[Headline] = ()


@dataclass(frozen=True, slots=True)
class EvalReport:
    """A complete report. ``facts`` are (name, value) pairs about the run."""

    title: str
    facts: Sequence[tuple[str, str]]
    sections: Sequence[ReportSection]
    notes: Sequence[str] = ()
