"""Content and drawing of a geometry problem."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.builder import Area, ellipse_outline
from sightline.training.world.core.camera import Point
from sightline.training.world.core.canvas import RGB, box_of, darker, lighter, mix
from sightline.training.world.core.language import COLORS
from sightline.training.world.core.scene import Box
from sightline.training.world.core.sheet import (
    BLACK_BOARD,
    GRAY,
    GREEN_BOARD,
    GRID,
    LINED,
    PINK,
    WHITE,
    YELLOW,
    BilingualText,
    Sheet,
    Surface,
    same_text,
)
from sightline.training.world.geometry.figures import Figure

LETTERS: Final = ("ABCD", "PQRS", "WXYZ", "DEFG", "JKLM", "MNPQ", "EFGH", "RSTU")
SURFACES: Final = (WHITE, YELLOW, GRAY, PINK, GRID, GRID, LINED, GREEN_BOARD, BLACK_BOARD)
PENS: Final = ("red", "blue", "green", "orange", "purple")
STYLES: Final[dict[str, BilingualText]] = {
    "outlined": ("outlined", "空心"),
    "filled": ("filled", "实心"),
}
_GOALS: Final[dict[str, BilingualText]] = {
    "area": ("the area", "面积"),
    "perimeter": ("the perimeter", "周长"),
    "diameter": ("the diameter", "直径"),
}
SIZES: Final = ((360, 320), (384, 320), (400, 320), (380, 340), (360, 360))


@dataclass(frozen=True, slots=True)
class Problem:
    """A figure with its letters, color and surface."""

    figure: Figure
    letters: str
    color: str
    style: str
    surface: Surface
    text_above: bool

    @property
    def combinations(self) -> tuple[str, ...]:
        """Combinations: figure and color; figure, goal and style."""
        return (
            f"geometry/{self.figure.kind}/{self.color}",
            f"geometry/{self.figure.kind}/{self.figure.goal}/{self.style}",
        )

    def named(self, points: str) -> BilingualText:
        """Name points: "01" is side AB, "012" is angle ABC."""
        if any(int(c) >= self.figure.vertices for c in points):
            return "the height", "高"
        letters = "".join(self.letters[int(c)] for c in points)
        return (f"angle {letters}", f"角{letters}") if len(points) == 3 else same_text(letters)

    @property
    def name(self) -> str:
        """Letters of the figure, e.g. ABC."""
        return self.letters[: self.figure.vertices]

    @property
    def goal(self) -> BilingualText:
        """Unknown value in words, e.g. "the area" or "angle ABC"."""
        goal = self.figure.goal
        return _GOALS[goal] if goal in _GOALS else self.named(goal)

    @property
    def question_text(self) -> str:
        """Question text in the image, e.g. "AB = ?"."""
        return f"{self.goal[0].removeprefix('the ')} = ?"


@dataclass(frozen=True, slots=True)
class DrawnAreas:
    """Positions of figure, letters, given values and question text."""

    outline: Area
    vertices: dict[str, Box]
    given: dict[str, Box]
    text: Box
    points: list[Point]


class ProblemDrawing:
    """Computes the layout of a problem and draws it."""

    def __init__(self, sheet: Sheet, problem: Problem) -> None:
        self.sheet, self.problem = sheet, problem
        rng, canvas = sheet.rng, sheet.canvas
        self.size = 0.088 * canvas.size[1] * rng.uniform(0.95, 1.1)
        x0, y0, x1, y1 = canvas.safe
        pad = self.size * 1.35
        if problem.text_above:
            self.area = (x0 + pad, y0 + pad + self.size * 1.2, x1 - pad, y1 - pad)
        else:
            self.area = (x0 + pad, y0 + pad, x1 - pad, y1 - pad - self.size * 1.2)
        self.points = self._place(problem.figure.points)
        self.center = (
            sum(p[0] for p in self.points) / len(self.points),
            sum(p[1] for p in self.points) / len(self.points),
        )
        color = COLORS[problem.color]
        self.color: RGB = lighter(color, 0.3) if problem.surface.dark else color

    def _place(self, points: tuple[Point, ...]) -> list[Point]:
        """Rotate the figure slightly and scale it to the area."""
        rng, (x0, y0, x1, y1) = self.sheet.rng, self.area
        turn = math.radians(rng.uniform(-14, 14)) if self.problem.figure.turns else 0.0
        flip = rng.choice((-1, 1)) if self.problem.figure.flips else 1
        c, s = math.cos(turn), math.sin(turn)
        turned = [(flip * (c * x - s * y), s * x + c * y) for x, y in points]
        bx0, by0, bx1, by1 = box_of(turned)
        scale = min((x1 - x0) / (bx1 - bx0), (y1 - y0) / (by1 - by0)) * rng.uniform(0.86, 1)
        dx = x0 + rng.random() * (x1 - x0 - scale * (bx1 - bx0)) - bx0 * scale
        dy = y0 + rng.random() * (y1 - y0 - scale * (by1 - by0)) - by0 * scale
        return [(x * scale + dx, y * scale + dy) for x, y in turned]

    def paint(self) -> DrawnAreas:
        """Draw everything and return the positions."""
        sheet, problem, figure = self.sheet, self.problem, self.problem.figure
        outline = self._circle() if figure.kind == "circle" else self._polygon()
        sheet.add_object(
            figure.name[0], outline, colour=problem.color, style=problem.style, name=problem.name
        )
        vertices = {letter: self._letter(i, letter) for i, letter in enumerate(problem.name)}
        given = {what: self._given(what, value) for what, value in figure.given}
        x0, y0, x1, y1 = sheet.canvas.safe
        y = y0 + self.size * 0.55 if problem.text_above else y1 - self.size * 0.55
        text = sheet.write_text(
            ((x0 + x1) / 2, y), problem.question_text, self.size * 1.1, font="bold"
        )
        return DrawnAreas(outline, vertices, given, text, self.points)

    def _fill(self) -> RGB | None:
        return mix(self.sheet.surface.ground, self.color, 0.55) if self._filled else None

    @property
    def _filled(self) -> bool:
        return self.problem.style == "filled"

    def _polygon(self) -> Area:
        canvas, figure = self.sheet.canvas, self.problem.figure
        points = self.points[: figure.vertices]
        canvas.polygon(points, self._fill(), self.color, 4)
        for i, j in figure.inner:
            canvas.dashes(self._at(i), self._at(j), darker(self.color, 0.1), 2.5, 5)
        for corner in figure.right_angles:
            self._square(corner)
        return points

    def _at(self, index: int) -> Point:
        return self.points[index]

    def _square(self, corner: tuple[int, int, int]) -> None:
        """Draw the right-angle mark at the first point of (corner, arm, arm)."""
        p, a, b = (self.points[i] for i in corner)
        u, v = _toward(p, a, self.size * 0.5), _toward(p, b, self.size * 0.5)
        tip = (u[0] + v[0] - p[0], u[1] + v[1] - p[1])
        self.sheet.canvas.line([u, tip, v], self.sheet.ink, 2)

    def _circle(self) -> Area:
        """Draw a circle around point 0 through point 1."""
        canvas, figure = self.sheet.canvas, self.problem.figure
        center, rim = self.points[0], self.points[1]
        radius = math.dist(center, rim)
        box = canvas.circle(center, radius, self._fill(), self.color, 4)
        start = self.points[2] if figure.goal == "01" else center
        canvas.line([start, rim], self.sheet.ink, 2.5)
        canvas.circle(center, 4, self.sheet.ink)
        return ellipse_outline(box)

    def _letter(self, index: int, letter: str) -> Box:
        """Write the letter of a vertex outside the figure."""
        p = self.points[index]
        if self.problem.figure.kind == "circle":
            rim = self.points[1]
            # The letter of the center is beside the line, the others outside the circle.
            beside = (p[0] + rim[1] - p[1], p[1] - rim[0] + p[0])
            away = _toward(p, beside, self.size * 0.75)
            if index:
                away = _toward(p, self.points[0], -self.size * 0.75)
        else:
            away = _toward(p, self.center, -self.size * 0.75)
        return self.sheet.write_text(away, letter, self.size, font="bold")

    def _given(self, what: str, value: str) -> Box:
        """Write a length beside its line or an angle inside its corner."""
        size = self.size * 1.0
        if len(what) == 3:
            corner = self.points[int(what[1])]
            a = _toward(corner, self.points[int(what[0])], 1)
            b = _toward(corner, self.points[int(what[2])], 1)
            half = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
            width = math.dist(a, b) / 2
            reach = self.size * (0.75 + 0.55 / max(width, 0.3))
            return self.sheet.write_text(_toward(corner, half, reach), value, size, font="bold")
        a, b = (self.points[int(c)] for c in what)
        mid = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
        nx, ny = b[1] - a[1], a[0] - b[0]
        length = math.hypot(nx, ny)
        # In a circle, the letter of the center is on the other side of the line.
        round_ = self.problem.figure.kind == "circle"
        outside = (mid[0] - self.center[0]) * nx + (mid[1] - self.center[1]) * ny
        way = (
            self.size
            * (0.62 + 0.12 * len(value))
            * (1 if outside >= 0 and not round_ else -1)
            / length
        )
        return self.sheet.write_text(
            (mid[0] + nx * way, mid[1] + ny * way), value, size, font="bold"
        )


def _toward(start: Point, end: Point, distance: float) -> Point:
    """Return the point at ``distance`` from ``start`` towards ``end``."""
    length = math.dist(start, end) or 1.0
    return (
        start[0] + (end[0] - start[0]) * distance / length,
        start[1] + (end[1] - start[1]) * distance / length,
    )
