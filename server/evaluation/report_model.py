"""Data model of an evaluation report, and its Markdown.

`server.reports.evaluation_page` renders it as HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sightline.server.evaluation.bootstrap import Estimate
from sightline.storage.text.hidden_characters import remove_hidden

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#!~])")

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


def render_markdown(report: EvalReport) -> str:
    """Return the report as Markdown; all texts are escaped."""
    blocks = [f"# {_escape(report.title)}"]
    facts = [[_escape(name), _escape(value)] for name, value in report.facts]
    blocks.append(_table(["fact", "value"], facts))
    blocks += [f"> {_escape(note)}" for note in report.notes]
    for section in report.sections:
        blocks += [f"## {_escape(section.title)}", _escape(section.text)]
        blocks += [text for block in section.blocks for text in _block(block)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _block(block: ReportBlock) -> list[str]:
    if isinstance(block, ReportChart):
        return []  # The table after the chart has the same values.
    title = f"### {_escape(block.title)}"
    if isinstance(block, ExampleGallery):
        return [title, _escape(block.note), *map(_example, block.examples)]
    rows = []
    for index, row in enumerate(block.rows):
        texts = [_cell(cell, signed=block.signed) for cell in row]
        if index in block.highlighted:
            texts = [f"**{text}**" if text else text for text in texts]
        rows.append(texts)
    return [title, _table([_escape(name) for name in block.columns], rows), _escape(block.note)]


def _cell(cell: Cell, *, signed: bool) -> str:
    """Format a cell; an estimate becomes ``0.912 (0.901 to 0.923)``."""
    if cell is None:
        return ""
    if isinstance(cell, Estimate):
        sign = "+" if signed else ""
        return f"{cell.value:{sign}.3f} ({cell.low:{sign}.3f} to {cell.high:{sign}.3f})"
    return f"{cell:,}" if isinstance(cell, int) else _escape(cell)


def _example(example: ExampleQuery) -> str:
    lines = [f"- **{_escape(example.title)}** ({_escape('; '.join(example.facts))})"]
    lines += [f"  - {_escape(', '.join(image.lines))} [{image.role}]" for image in example.images]
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _escape(text: str) -> str:
    """Join lines and escape everything that Markdown or HTML would interpret."""
    return _SPECIAL.sub(r"\\\1", " ".join(remove_hidden(text).split()))
