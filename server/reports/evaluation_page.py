"""Render an evaluation report as one HTML page without scripts."""

from __future__ import annotations

from collections.abc import Sequence

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import Cell, EvalReport
from sightline.server.reports import templating


def render(report: EvalReport) -> str:
    """Return the HTML page; all texts are escaped."""
    return templating.render("evaluation.html", report=report, heat=_heat)


def _heat(cell: Estimate, row: Sequence[Cell]) -> str:
    """Return the CSS of a heatmap cell; the best of its row is bold."""
    best = max(each.value for each in row if isinstance(each, Estimate))
    weight = ";font-weight:650" if cell.value == best else ""
    return f"background:rgb(from var(--accent) r g b / {0.45 * max(cell.value, 0):.2f}){weight}"
