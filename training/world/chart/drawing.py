"""Content and drawing of a chart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.builder import Area
from sightline.training.world.core.canvas import RGB, darker, lighter
from sightline.training.world.core.language import COLORS
from sightline.training.world.core.scene import Box
from sightline.training.world.core.sheet import (
    BLACK_BOARD,
    GRAY,
    GREEN_BOARD,
    GRID,
    PINK,
    WHITE,
    YELLOW,
    BilingualText,
    Sheet,
    Surface,
)

TITLES: Final = ("Sales", "Rain", "Visitors", "Energy", "Profit", "Exports", "Traffic", "Harvest",
                 "Orders", "Savings", "Repairs", "Travel")  # fmt: skip
AXES: Final = (
    ("Jan", "Feb", "Mar", "Apr", "May", "Jun"),
    ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat"),
    ("Rome", "Oslo", "Lima", "Cairo", "Paris", "Tokyo"),
    ("Apple", "Pear", "Plum", "Kiwi", "Lime", "Fig"),
    ("A", "B", "C", "D", "E", "F"),
    ("North", "South", "East", "West"),
)
KINDS: Final[dict[str, BilingualText]] = {
    "bar": ("bar chart", "柱状图"),
    "row": ("horizontal bar chart", "条形图"),
    "line": ("line chart", "折线图"),
    "pie": ("pie chart", "饼图"),
    "ring": ("ring chart", "环形图"),
}
MARKS: Final[dict[str, BilingualText]] = {
    "bar": ("bar", "柱子"),
    "row": ("bar", "条"),
    "line": ("point", "点"),
    "pie": ("slice", "扇形"),
    "ring": ("slice", "扇形"),
}
ROUND: Final = ("pie", "ring")
SURFACES: Final = (WHITE, YELLOW, GRAY, PINK, GRID, GREEN_BOARD, BLACK_BOARD)
#: Narrow enough for six names in a row.
_NAMES: Final = "condensed"
SIZES: Final = ((360, 270), (384, 288), (400, 300), (440, 320), (360, 320))


@dataclass(frozen=True, slots=True)
class Chart:
    """Content of a chart; ``colors`` has one color name per category."""

    kind: str
    title: str
    names: tuple[str, ...]
    values: tuple[int, ...]
    colors: tuple[str, ...]
    surface: Surface

    @property
    def combinations(self) -> tuple[str, ...]:
        """Combinations: kind and number of categories, kind and color."""
        first = "mixed" if self.mixed else self.colors[0]
        return f"chart/{self.kind}/{len(self.names)}", f"chart/{self.kind}/{first}"

    @property
    def mixed(self) -> bool:
        """Whether the categories have different colors."""
        return len(set(self.colors)) > 1

    @property
    def largest(self) -> str:
        """Category with the largest value."""
        return self.names[self.values.index(max(self.values))]

    @property
    def smallest(self) -> str:
        """Category with the smallest value."""
        return self.names[self.values.index(min(self.values))]


def paint(sheet: Sheet, chart: Chart) -> tuple[list[Area], Box]:
    """Draw the chart and return the area of each mark and the title box."""
    rng = sheet.rng
    x0, y0, x1, y1 = sheet.canvas.safe
    font = rng.choice(("sans", "bold", "slab", "serif"))
    size = 0.092 * sheet.canvas.size[1] * rng.uniform(0.95, 1.1)
    left = rng.random() < 0.3
    title = sheet.write_text(
        (x0 + 4 if left else (x0 + x1) / 2, y0 + size * 0.5),
        chart.title,
        size,
        font=font,
        anchor="lm" if left else "mm",
    )
    area = (x0, y0 + size * 1.35, x1, y1)
    painters = {"bar": _bars, "row": _rows, "line": _line, "pie": _round, "ring": _round}
    return painters[chart.kind](sheet, chart, area, size * 0.82), title


def _tint(sheet: Sheet, name: str) -> RGB:
    color = COLORS[name]
    return lighter(color, 0.25) if sheet.surface.dark else color


def _mark(sheet: Sheet, chart: Chart, i: int, box: Area) -> Area:
    sheet.add_object(
        chart.names[i],
        box,
        mark=MARKS[chart.kind][0],
        value=str(chart.values[i]),
        colour=chart.colors[i],
    )
    return box


def _bars(sheet: Sheet, chart: Chart, area: Box, size: float) -> list[Area]:
    canvas, rng = sheet.canvas, sheet.rng
    x0, y0, x1, y1 = area
    base, top = y1 - size * 1.5, y0 + size * 1.3
    slot = (x1 - x0 - 8) / len(chart.names)
    half = slot * rng.uniform(0.26, 0.4)
    for k in range(1, 5):
        y = base - (base - top) * k / 4
        canvas.line([(x0, y), (x1, y)], (*sheet.ink, 60), 0.7)
    boxes: list[Area] = []
    for i, (name, value) in enumerate(zip(chart.names, chart.values, strict=True)):
        x, y = x0 + 4 + slot * (i + 0.5), base - (base - top) * value / 100
        color = _tint(sheet, chart.colors[i])
        box = canvas.rectangle((x - half, y, x + half, base), color, darker(color), 1)
        boxes.append(_mark(sheet, chart, i, box))
        sheet.write_text((x, y - size * 0.55), str(value), size, font="bold")
        sheet.write_text((x, base + size * 0.75), name, size, font=_NAMES)
    canvas.line([(x0, base), (x1, base)], sheet.ink, 2)
    return boxes


def _rows(sheet: Sheet, chart: Chart, area: Box, size: float) -> list[Area]:
    canvas, rng = sheet.canvas, sheet.rng
    x0, y0, x1, y1 = area
    left, right = x0 + size * 3.0, x1 - size * 1.9
    slot = (y1 - y0) / len(chart.names)
    half = slot * rng.uniform(0.26, 0.4)
    boxes: list[Area] = []
    for i, (name, value) in enumerate(zip(chart.names, chart.values, strict=True)):
        y, x = y0 + slot * (i + 0.5), left + (right - left) * value / 100
        color = _tint(sheet, chart.colors[i])
        box = canvas.rectangle((left, y - half, x, y + half), color, darker(color), 1)
        boxes.append(_mark(sheet, chart, i, box))
        sheet.write_text((x + size * 0.4, y), str(value), size, font="bold", anchor="lm")
        sheet.write_text((left - size * 0.35, y), name, size, font=_NAMES, anchor="rm")
    canvas.line([(left, y0), (left, y1)], sheet.ink, 2)
    return boxes


def _line(sheet: Sheet, chart: Chart, area: Box, size: float) -> list[Area]:
    canvas = sheet.canvas
    x0, y0, x1, y1 = area
    base, top = y1 - size * 1.5, y0 + size * 1.4
    slot = (x1 - x0) / len(chart.names)
    # Reserve space for values below low points.
    low = base - size * 1.3
    points = [
        (x0 + slot * (i + 0.5), low - (low - top) * v / 100) for i, v in enumerate(chart.values)
    ]
    for k in range(1, 5):
        y = base - (base - top) * k / 4
        canvas.line([(x0, y), (x1, y)], (*sheet.ink, 60), 0.7)
    color = _tint(sheet, chart.colors[0])
    canvas.line(points, color, sheet.rng.uniform(3, 4.5))
    boxes: list[Area] = []
    for i, (x, y) in enumerate(points):
        boxes.append(_mark(sheet, chart, i, canvas.circle((x, y), 5.5, color, sheet.ink, 1)))
        # Put the value on the side without the line.
        beside = [points[j][1] for j in (i - 1, i + 1) if 0 <= j < len(points)]
        under = sum(beside) / len(beside) < y
        sheet.write_text(
            (x, y + size * (1.0 if under else -1.0)), str(chart.values[i]), size, font="bold"
        )
        sheet.write_text((x, base + size * 0.75), chart.names[i], size, font=_NAMES)
    canvas.line([(x0, top - size), (x0, base), (x1, base)], sheet.ink, 2)
    return boxes


def _round(sheet: Sheet, chart: Chart, area: Box, size: float) -> list[Area]:
    canvas, rng = sheet.canvas, sheet.rng
    x0, y0, x1, y1 = area
    radius = min((y1 - y0) / 2 - size * 1.15, (x1 - x0) / 2 - size * 3.2)
    cx = (x0 + x1) / 2 + rng.uniform(-0.12, 0.12) * radius
    cy = (y0 + y1) / 2
    disc = (cx - radius, cy - radius, cx + radius, cy + radius)
    start = rng.choice((-90.0, rng.uniform(-180, 180)))
    inner = radius * (0.45 if chart.kind == "ring" else 0.0)
    slices = []
    for value in chart.values:
        slices.append((start, start + 3.6 * value))
        start += 3.6 * value
    edge = sheet.surface.ground
    for (a, b), name in zip(slices, chart.colors, strict=True):
        canvas.pieslice(disc, a, b, _tint(sheet, name), edge)
    if inner:
        canvas.circle((cx, cy), inner, edge)
    boxes: list[Area] = []
    for i, (a, b) in enumerate(slices):
        rim = [
            (cx + r * math.cos(math.radians(t)), cy + r * math.sin(math.radians(t)))
            for t in (a + (b - a) * k / 24 for k in range(25))
            for r in (radius, inner)
        ]
        boxes.append(_mark(sheet, chart, i, rim))
        c, s = math.cos(math.radians((a + b) / 2)), math.sin(math.radians((a + b) / 2))
        mid = radius * (0.73 if inner else 0.66)
        light = chart.colors[i] in ("yellow", "orange") or sheet.surface.dark
        sheet.write_text(
            (cx + mid * c, cy + mid * s),
            str(chart.values[i]),
            size,
            font="bold",
            fill=(20, 20, 20) if light else (255, 255, 255),
        )
        out = radius + size * 0.35
        anchor = ("l" if c > 0.25 else "r" if c < -0.25 else "m") + "m"
        sheet.write_text(
            (cx + out * c, cy + (out + size * 0.35) * s),
            chart.names[i],
            size,
            font=_NAMES,
            anchor=anchor,
        )
    return boxes
