"""A report as one self-contained HTML page that loads nothing and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import cache
from importlib.resources import files

from jinja2 import Environment, StrictUndefined, Template

from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import (
    Cell,
    Chart,
    Gallery,
    Part,
    Report,
    Table,
)


def write(report: Report) -> str:
    """The page; whatever came from files, models or people is escaped."""
    return _template().render(report=report)


@cache
def _template() -> Template:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters |= {"data_url": _data_url, "kind": _kind, "shade": _shade}
    environment.tests |= {"estimate": lambda cell: isinstance(cell, Estimate)}
    source = (
        files("sightline.server.reports")
        .joinpath("templates/evaluation.html")
        .read_text(encoding="utf-8")
    )
    return environment.from_string(source)


def _kind(part: Part) -> str:
    match part:
        case Table():
            return "table"
        case Chart():
            return "chart"
        case Gallery():
            return "gallery"


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii")


def _shade(cell: Cell, row: Sequence[Cell]) -> str:
    """A background the fuller the higher the value, and bold for the best of its row."""
    if not isinstance(cell, Estimate):
        return ""
    best = max(each.value for each in row if isinstance(each, Estimate))
    weight = ";font-weight:650" if cell.value == best else ""
    return f"background:rgb(from var(--accent) r g b / {0.45 * max(cell.value, 0):.2f}){weight}"
