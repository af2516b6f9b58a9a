"""Content, layout and drawing of a flowchart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.camera import Point
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

STEPS: Final = ("Order", "Pack", "Ship", "Test", "Fix", "Build", "Print", "Scan", "Sort", "Store",
                "Login", "Send", "Wait", "Cook", "Wash", "Dry", "Cut", "Paint", "Weigh",
                "Label")  # fmt: skip
DECISIONS: Final = ("Paid?", "OK?", "New?", "Full?", "Clean?", "Ready?", "Safe?", "Dry?")
STARTS: Final = ("Start", "Begin", "Open")
ENDS: Final = ("End", "Done", "Close")
LAYOUTS: Final[dict[str, BilingualText]] = {
    "down": ("going down", "从上到下"),
    "across": ("going across", "从左到右"),
    "snake": ("turning back", "折返"),
    "fork": ("with a decision", "带判断"),
}
SURFACES: Final = (WHITE, WHITE, YELLOW, GRAY, PINK, GRID, GREEN_BOARD, BLACK_BOARD)
SIZES: Final[dict[str, tuple[tuple[int, int], ...]]] = {
    "down": ((300, 380), (320, 380), (280, 360)),
    "across": ((440, 240), (440, 260), (420, 240)),
    "snake": ((400, 300), (420, 300), (400, 320)),
    "fork": ((380, 380), (360, 380), (400, 380)),
}


@dataclass(frozen=True, slots=True)
class Flowchart:
    """Content of a flowchart.

    In layout "fork", ``steps`` are the start, a step, the "yes" step and the "no" step; the
    decision follows the second step.
    """

    layout: str
    steps: tuple[str, ...]
    decision: str
    yes_right: bool
    color: str
    marked: str
    marked_color: str
    surface: Surface
    shape: str

    @property
    def combinations(self) -> tuple[str, ...]:
        """Combinations: layout, size and color; color and marked color."""
        return (
            f"flowchart/{self.layout}/{len(self.steps)}/{self.color}",
            f"flowchart/{self.color}/{self.marked_color}",
        )

    def color_of(self, step: str) -> str:
        """Return the box color of a step; the marked step has its own color."""
        return self.marked_color if step == self.marked else self.color


class FlowchartDrawing:
    """Computes the layout of a flowchart and draws it."""

    def __init__(self, sheet: Sheet, flow: Flowchart) -> None:
        self.sheet, self.flow = sheet, flow
        self.boxes: dict[str, Box] = {}
        self.size = 0.0

    def paint(self) -> dict[str, Box]:
        """Draw everything and return the box of each step and the decision."""
        sheet, flow = self.sheet, self.flow
        x0, y0, x1, y1 = sheet.canvas.safe
        w, h = x1 - x0, y1 - y0
        cells: dict[str, Point]
        n = len(flow.steps)
        if flow.layout == "down":
            columns, rows = 1, n
            sway = [sheet.rng.uniform(-0.05, 0.05) * w for _ in range(n)]
            cells = {s: (x0 + w / 2 + sway[i], y0 + h * (i + 0.5) / n)
                     for i, s in enumerate(flow.steps)}  # fmt: skip
        elif flow.layout == "across":
            columns, rows = n, 1
            sway = [sheet.rng.uniform(-0.06, 0.06) * h for _ in range(n)]
            cells = {s: (x0 + w * (i + 0.5) / n, y0 + h / 2 + sway[i])
                     for i, s in enumerate(flow.steps)}  # fmt: skip
        elif flow.layout == "snake":
            columns, rows = n // 2, 2
            cells = {}
            for i, step in enumerate(flow.steps):
                row = i // columns
                column = i % columns if row == 0 else columns - 1 - i % columns
                cells[step] = x0 + w * (column + 0.5) / columns, y0 + h * (row + 0.5) / 2
        else:
            columns, rows = 2, 4
            yes, no = flow.steps[2], flow.steps[3]
            right, left = (yes, no) if flow.yes_right else (no, yes)
            middle = x0 + w / 2
            cells = {
                flow.steps[0]: (middle, y0 + h * 0.085),
                flow.steps[1]: (middle, y0 + h * 0.315),
                flow.decision: (middle, y0 + h * 0.6),
                left: (x0 + w * 0.22, y0 + h * 0.915),
                right: (x0 + w * 0.78, y0 + h * 0.915),
            }
        cell_w, cell_h = w / columns, h / rows
        wide = 0.58 * w if columns == 1 else cell_w * (0.86 if flow.layout == "fork" else 0.78)
        high = min(cell_h * 0.62, wide * 0.62)
        # The longest label must fit its box; measure it at font size 10.
        boxes = [sheet.canvas.text_box((0, 0), s, 10, "bold") for s in flow.steps]
        longest = max(box[2] - box[0] for box in boxes) / 10
        self.size = min(high * 0.66, 0.86 * wide / longest)
        for name, center in cells.items():
            self._decision(name, center) if name == flow.decision else self._step(
                name, center, wide, high
            )
        self._arrows()
        return self.boxes

    def _fill(self, name: str) -> tuple[RGB, RGB]:
        """Return fill color and a readable ink color."""
        color = self.flow.color_of(name)
        rgb = COLORS[color]
        light = color in ("yellow", "orange")
        return (lighter(rgb, 0.12), (20, 20, 24)) if light else (rgb, (252, 252, 252))

    def _step(self, name: str, center: Point, wide: float, high: float) -> None:
        sheet, flow = self.sheet, self.flow
        x, y = center
        box = (x - wide / 2, y - high / 2, x + wide / 2, y + high / 2)
        fill, ink = self._fill(name)
        radius = high * 0.45 if flow.shape == "round" else 3
        sheet.canvas.shadow((box[0] - 4, box[3] - 8, box[2] + 4, box[3] + 8), 0.3)
        sheet.canvas.rectangle(box, fill, darker(fill, 0.4), 1.8, radius=radius)
        sheet.write_text(center, name, self.size, fill=ink, font="bold")
        sheet.add_object("box", box, text=name, colour=flow.color_of(name))
        self.boxes[name] = box

    def _decision(self, name: str, center: Point) -> None:
        sheet = self.sheet
        x, y = center
        w, h = self.size * 2.7, self.size * 1.5
        points = [(x, y - h), (x + w, y), (x, y + h), (x - w, y)]
        fill = COLORS["white"]
        sheet.canvas.polygon(points, fill, (40, 40, 44), 2)
        sheet.write_text(center, name, self.size * 0.95, fill=(20, 20, 24), font="bold")
        box = (x - w, y - h, x + w, y + h)
        sheet.add_object("diamond", box, text=name, colour="white")
        self.boxes[name] = box

    def _arrow(self, points: list[Point]) -> None:
        canvas, ink = self.sheet.canvas, self.sheet.ink
        canvas.line(points, ink, 2.6)
        (xa, ya), (xb, yb) = points[-2:]
        length = max(1.0, ((xb - xa) ** 2 + (yb - ya) ** 2) ** 0.5)
        ux, uy = (xb - xa) / length, (yb - ya) / length
        size = 9.5
        canvas.polygon(
            [(xb, yb), (xb - size * ux - size * 0.55 * uy, yb - size * uy + size * 0.55 * ux),
             (xb - size * ux + size * 0.55 * uy, yb - size * uy - size * 0.55 * ux)], ink,
        )  # fmt: skip

    def _arrows(self) -> None:
        flow, boxes = self.flow, self.boxes
        if flow.layout != "fork":
            for a, b in zip(flow.steps, flow.steps[1:], strict=False):
                self._join(boxes[a], boxes[b])
            return
        self._join(boxes[flow.steps[0]], boxes[flow.steps[1]])
        self._join(boxes[flow.steps[1]], boxes[flow.decision])
        d = boxes[flow.decision]
        y = (d[1] + d[3]) / 2
        for step, word in ((flow.steps[2], "yes"), (flow.steps[3], "no")):
            end = boxes[step]
            x = (end[0] + end[2]) / 2
            way = 1 if x > (d[0] + d[2]) / 2 else -1
            start = d[2] if way > 0 else d[0]
            x = max(x, start + 12) if way > 0 else min(x, start - 12)
            self._arrow([(start, y), (x, y), (x, end[1] - 2)])
            self.sheet.write_text(
                (x - way * self.size * 0.95, (y + end[1]) / 2 + self.size * 0.1),
                word,
                self.size * 0.95,
                font="bold",
            )

    def _join(self, a: Box, b: Box) -> None:
        """Draw an arrow between the facing edges of two boxes."""
        ax, ay, bx, by = (a[0] + a[2]) / 2, (a[1] + a[3]) / 2, (b[0] + b[2]) / 2, (b[1] + b[3]) / 2
        if b[1] > a[3]:
            self._arrow([(ax, a[3] + 2), (bx, b[1] - 2)])
        elif bx > ax:
            self._arrow([(a[2] + 2, ay), (b[0] - 2, by)])
        else:
            self._arrow([(a[0] - 2, ay), (b[2] + 2, by)])
