"""Render a report as Markdown, without its images."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import (
    Cell,
    EvalReport,
    ExampleGallery,
    ExampleQuery,
    ReportBlock,
    ReportChart,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#!~])")


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
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
