"""A report as Markdown, for documentation and for reading in a terminal; without its pictures."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import (
    Case,
    Cell,
    Chart,
    Gallery,
    Part,
    Report,
    Table,
)

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#!~])")


def write(report: Report) -> str:
    """The report's text; whatever came from files or models is escaped."""
    blocks = [f"# {_plain(report.title)}"]
    facts = [[_plain(name), _plain(value)] for name, value in report.facts]
    blocks.append(_table(["what", ""], facts))
    blocks += [f"> {_plain(note)}" for note in report.notes]
    for section in report.sections:
        blocks += [f"## {_plain(section.title)}", _plain(section.text)]
        blocks += [block for part in section.parts for block in _part(part)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _part(part: Part) -> list[str]:
    if isinstance(part, Chart):
        return []  # the table that follows says the same
    title = f"### {_plain(part.title)}"
    if isinstance(part, Gallery):
        return [title, _plain(part.note), *map(_case, part.cases)]
    rows = [
        [_strong(text) if place in part.strong else text for text in _texts(row, part)]
        for place, row in enumerate(part.rows)
    ]
    return [title, _table([_plain(name) for name in part.head], rows), _plain(part.note)]


def _texts(row: Sequence[Cell], table: Table) -> list[str]:
    return [cell_text(cell, signed=table.signed) for cell in row]


def cell_text(cell: Cell, *, signed: bool = False) -> str:
    """A cell as text, escaped: ``0.912 (0.901 to 0.923)`` for an estimate."""
    if cell is None:
        return ""
    if isinstance(cell, Estimate):
        sign = "+" if signed else ""
        return f"{cell.value:{sign}.3f} ({cell.low:{sign}.3f} to {cell.high:{sign}.3f})"
    return f"{cell:,}" if isinstance(cell, int) else _plain(cell)


def _case(case: Case) -> str:
    lines = [f"- **{_plain(case.title)}** ({_plain('; '.join(case.facts))})"]
    lines += [f"  - {_plain(', '.join(shown.lines))} [{shown.mark}]" for shown in case.pictures]
    return "\n".join(lines)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [_row(head), _row(["---"] * len(head)), *(_row(row) for row in rows)]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _strong(text: str) -> str:
    return f"**{text}**" if text else text


def _plain(text: str) -> str:
    """On one line, with everything that Markdown or HTML would act on escaped."""
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
