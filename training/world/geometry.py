"""Geometry problems: a labelled figure with what is given, and what is to be found."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from sightline.training.world.camera import Point
from sightline.training.world.canvas import RGB, box_of, darker, lighter, mix
from sightline.training.world.figures import FIGURES, Figure
from sightline.training.world.language import CHINESE, COLOURS, yes_no
from sightline.training.world.scene import Box, Picture, Split
from sightline.training.world.sheet import (
    BLACK_BOARD,
    GREEN_BOARD,
    GREY,
    GRID,
    LINED,
    PINK,
    WHITE,
    YELLOW,
    Sheet,
    Surface,
    Words,
    same,
)
from sightline.training.world.splits import choose
from sightline.training.world.stage import Area, around

LETTERS: Final = ("ABCD", "PQRS", "WXYZ", "DEFG", "JKLM", "MNPQ", "EFGH", "RSTU")
SURFACES: Final = (WHITE, YELLOW, GREY, PINK, GRID, GRID, LINED, GREEN_BOARD, BLACK_BOARD)
PENS: Final = ("red", "blue", "green", "orange", "purple")
STYLES: Final[dict[str, Words]] = {"outlined": ("outlined", "空心"), "filled": ("filled", "实心")}
_GOALS: Final[dict[str, Words]] = {
    "area": ("the area", "面积"),
    "perimeter": ("the perimeter", "周长"),
    "diameter": ("the diameter", "直径"),
}
SIZES: Final = ((360, 320), (384, 320), (400, 320), (380, 340), (360, 360))


@dataclass(frozen=True, slots=True)
class Problem:
    """A figure with its letters, pen and surface."""

    figure: Figure
    letters: str
    colour: str
    style: str
    surface: Surface
    text_above: bool

    @property
    def combinations(self) -> tuple[str, ...]:
        """The attributes that are combined: figure and colour, figure and what is asked."""
        return (
            f"geometry/{self.figure.kind}/{self.colour}",
            f"geometry/{self.figure.kind}/{self.figure.goal}/{self.style}",
        )

    def named(self, points: str) -> Words:
        """What ``points`` names: the side "01" is AB, the angle "012" is angle ABC."""
        if any(int(c) >= self.figure.vertices for c in points):
            return "the height", "高"
        letters = "".join(self.letters[int(c)] for c in points)
        return (f"angle {letters}", f"角{letters}") if len(points) == 3 else same(letters)

    @property
    def name(self) -> str:
        """The figure by its letters: ABC, or the centre of a circle."""
        return self.letters[: self.figure.vertices]

    @property
    def goal(self) -> Words:
        """What is asked, in words: "the area", or the letters of a side or an angle."""
        goal = self.figure.goal
        return _GOALS[goal] if goal in _GOALS else self.named(goal)

    @property
    def sought(self) -> str:
        """What is asked, as written in the picture: "AB = ?"."""
        return f"{self.goal[0].removeprefix('the ')} = ?"


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw the problem of ``seed``."""
    problem, unseen = choose(rng, split, lambda: _invent(rng), lambda p: p.combinations)
    sheet = Sheet("geometry", rng, seed, split, rng.choice(SIZES), problem.surface)
    _Board(sheet, problem).paint()
    _caption(sheet, problem)
    return sheet.photograph(problem.combinations, unseen)


def _invent(rng: random.Random) -> Problem:
    return Problem(
        figure=FIGURES[rng.choice(tuple(FIGURES))](rng),
        letters=rng.choice(LETTERS),
        colour=rng.choice(PENS),
        style=rng.choice(tuple(STYLES)),
        surface=rng.choice(SURFACES),
        text_above=rng.random() < 0.5,
    )


class _Board:
    """One problem being drawn."""

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
        self.centre = (
            sum(p[0] for p in self.points) / len(self.points),
            sum(p[1] for p in self.points) / len(self.points),
        )
        colour = COLOURS[problem.colour]
        self.colour: RGB = lighter(colour, 0.3) if problem.surface.dark else colour

    def _place(self, points: tuple[Point, ...]) -> list[Point]:
        """The figure turned a little, and made to fit the area."""
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

    def paint(self) -> None:
        """Draw all and pose the questions."""
        sheet, problem, figure = self.sheet, self.problem, self.problem.figure
        outline = self._circle() if figure.kind == "circle" else self._polygon()
        sheet.thing(figure.name[0], outline, colour=problem.colour, style=problem.style,
                    name=problem.name)  # fmt: skip
        vertices = {letter: self._letter(i, letter) for i, letter in enumerate(problem.name)}
        given = {what: self._given(what, value) for what, value in figure.given}
        x0, y0, x1, y1 = sheet.canvas.safe
        y = y0 + self.size * 0.55 if problem.text_above else y1 - self.size * 0.55
        text = sheet.write(((x0 + x1) / 2, y), problem.sought, self.size * 1.1, font="bold")
        _ask(sheet, problem, outline, vertices, given, text, self.points)

    def _fill(self) -> RGB | None:
        return mix(self.sheet.surface.ground, self.colour, 0.55) if self._filled else None

    @property
    def _filled(self) -> bool:
        return self.problem.style == "filled"

    def _polygon(self) -> Area:
        canvas, figure = self.sheet.canvas, self.problem.figure
        points = self.points[: figure.vertices]
        canvas.polygon(points, self._fill(), self.colour, 4)
        for i, j in figure.inner:
            canvas.dashes(self._at(i), self._at(j), darker(self.colour, 0.1), 2.5, 5)
        for corner in figure.right_angles:
            self._square(corner)
        return points

    def _at(self, index: int) -> Point:
        return self.points[index]

    def _square(self, corner: tuple[int, int, int]) -> None:
        """The mark of a right angle at the first point, between the two others."""
        p, a, b = (self.points[i] for i in corner)
        u, v = _toward(p, a, self.size * 0.5), _toward(p, b, self.size * 0.5)
        tip = (u[0] + v[0] - p[0], u[1] + v[1] - p[1])
        self.sheet.canvas.line([u, tip, v], self.sheet.ink, 2)

    def _circle(self) -> Area:
        """A circle about point 0 through point 1; the points after are the frame's corners."""
        canvas, figure = self.sheet.canvas, self.problem.figure
        centre, rim = self.points[0], self.points[1]
        radius = math.dist(centre, rim)
        box = canvas.circle(centre, radius, self._fill(), self.colour, 4)
        start = self.points[2] if figure.goal == "01" else centre
        canvas.line([start, rim], self.sheet.ink, 2.5)
        canvas.circle(centre, 4, self.sheet.ink)
        return around(box)

    def _letter(self, index: int, letter: str) -> Box:
        """Write a vertex's letter beyond the vertex, away from the middle of the figure."""
        p = self.points[index]
        if self.problem.figure.kind == "circle":
            rim = self.points[1]
            # The centre's letter stands beside the line, the others beyond the rim.
            beside = (p[0] + rim[1] - p[1], p[1] - rim[0] + p[0])
            away = _toward(p, beside, self.size * 0.75)
            if index:
                away = _toward(p, self.points[0], -self.size * 0.75)
        else:
            away = _toward(p, self.centre, -self.size * 0.75)
        return self.sheet.write(away, letter, self.size, font="bold")

    def _given(self, what: str, value: str) -> Box:
        """Write a given length beside its line, or a given angle inside its corner."""
        size = self.size * 1.0
        if len(what) == 3:
            corner = self.points[int(what[1])]
            a = _toward(corner, self.points[int(what[0])], 1)
            b = _toward(corner, self.points[int(what[2])], 1)
            half = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
            width = math.dist(a, b) / 2
            reach = self.size * (0.75 + 0.55 / max(width, 0.3))
            return self.sheet.write(_toward(corner, half, reach), value, size, font="bold")
        a, b = (self.points[int(c)] for c in what)
        mid = (a[0] + b[0]) / 2, (a[1] + b[1]) / 2
        nx, ny = b[1] - a[1], a[0] - b[0]
        length = math.hypot(nx, ny)
        # In a circle the centre's letter stands on the other side of the line.
        round_ = self.problem.figure.kind == "circle"
        outside = (mid[0] - self.centre[0]) * nx + (mid[1] - self.centre[1]) * ny
        way = (
            self.size
            * (0.62 + 0.12 * len(value))
            * (1 if outside >= 0 and not round_ else -1)
            / length
        )
        return self.sheet.write((mid[0] + nx * way, mid[1] + ny * way), value, size, font="bold")


def _toward(start: Point, end: Point, distance: float) -> Point:
    """The point ``distance`` from ``start`` in the direction of ``end``."""
    length = math.dist(start, end) or 1.0
    return (
        start[0] + (end[0] - start[0]) * distance / length,
        start[1] + (end[1] - start[1]) * distance / length,
    )


# Words --------------------------------------------------------------------------------------


def _caption(sheet: Sheet, problem: Problem) -> None:
    figure, surface = problem.figure, problem.surface.name
    colour = problem.colour, CHINESE[problem.colour]
    style = STYLES[problem.style]
    given = [f"{problem.named(what)[0]} is {value}" for what, value in figure.given]
    given_zh = [f"{problem.named(what)[1]}={value}" for what, value in figure.given]
    goal = problem.goal
    sheet.caption(
        f"{colour[0]} {style[0]} {figure.name[0]} {problem.name} on {surface[0]}, "
        f"{', '.join(given)}, find {goal[0]}",
        f"{surface[1]}上的{colour[1]}{style[1]}{figure.name[1]}{problem.name}，"
        f"{','.join(given_zh)}，求{goal[1]}",
    )
    sheet.caption(
        f"a geometry problem: {figure.name[0]} {problem.name} with {' and '.join(given)}",
        f"几何题：{figure.name[1]}{problem.name}，{','.join(given_zh)}",
    )
    sheet.caption(
        f"find {goal[0]} of the {figure.name[0]} {problem.name}",
        f"求{figure.name[1]}{problem.name}的{goal[1]}",
    )
    sheet.caption(
        f"a {colour[0]} {figure.name[0]} drawn on {surface[0]}".replace("a orange", "an orange"),
        f"画在{surface[1]}上的{colour[1]}{figure.name[1]}",
    )


def _ask(
    sheet: Sheet,
    problem: Problem,
    outline: Area,
    vertices: dict[str, Box],
    given: dict[str, Box],
    text: Box,
    points: list[Point],
) -> None:
    rng, figure = sheet.rng, problem.figure
    goal = problem.goal
    angle = len(figure.goal) == 3
    sheet.pose("attribute", (f"What is {goal[0]}?", f"{goal[1]}是多少？"), same(figure.answer))
    sheet.pose("attribute", ("What figure is it?", "这是什么图形？"), figure.name, outline)
    sheet.pose(
        "attribute",
        ("What colour is the figure?", "图形是什么颜色？"),
        (problem.colour, CHINESE[problem.colour]),
        outline,
    )
    sheet.pose("attribute", ("What is it drawn on?", "画在什么上面？"), problem.surface.name)
    sheet.pose(
        "attribute",
        ("Is the figure filled or outlined?", "图形是实心还是空心？"),
        STYLES[problem.style],
        outline,
    )
    sheet.pose(
        "count", ("How many points have letters?", "有多少个点标了字母？"), same(figure.vertices)
    )
    sheet.pose("count", ("How many values are given?", "给出了多少个数值？"), same(len(given)))
    sheet.pose(
        "existence", ("Is a right angle marked?", "标了直角吗？"), yes_no(bool(figure.right_angles))
    )
    sheet.pose("existence", ("Is it a circle?", "是圆吗？"), yes_no(figure.kind == "circle"))
    sheet.pose("reading", ("What is to be found?", "要求什么？"), goal, text)
    what, value = rng.choice(figure.given)
    name = problem.named(what)
    sheet.pose(
        "reading",
        (f"What is given for {name[0]}?", f"{name[1]}给出的数值是多少？"),
        same(value),
        given[what],
    )
    xs = sorted(range(figure.vertices), key=lambda i: points[i][0])
    ys = sorted(range(figure.vertices), key=lambda i: points[i][1])
    far = 0.12 * sheet.canvas.size[1]
    extremes = [
        (("leftmost", "最左边"), xs[0], points[xs[1]][0] - points[xs[0]][0]),
        (("rightmost", "最右边"), xs[-1], points[xs[-1]][0] - points[xs[-2]][0]),
        (("highest", "最高"), ys[0], points[ys[1]][1] - points[ys[0]][1]),
        (("lowest", "最低"), ys[-1], points[ys[-1]][1] - points[ys[-2]][1]),
    ]
    for word, index, _ in [e for e in extremes if e[2] > far][:2]:
        letter = problem.letters[index]
        sheet.pose(
            "relation",
            (f"Which point is {word[0]}?", f"哪个点在{word[1]}？"),
            same(letter),
            vertices[letter],
        )
    where = ("above", "上面") if problem.text_above else ("below", "下面")
    sheet.pose(
        "relation",
        ("Is the question above or below the figure?", "问题在图形的上面还是下面？"),
        where,
        text,
    )
    _compare(sheet, problem, given)
    letter = rng.choice(problem.name)
    sheet.ask_where(f"the letter {letter}", f"字母{letter}", vertices[letter])
    sheet.ask_where("the figure", "图形", outline)
    sheet.ask_where("the question", "问题", text)
    absent = rng.choice([c for c in "ABCDEFGHJKLMNPQRSTUWXYZ" if c not in problem.name])
    sheet.ask_in_vain(
        f"How long is {problem.name[0]}{absent}?", f"{problem.name[0]}{absent}有多长？"
    )
    if figure.kind == "circle":
        sheet.ask_in_vain("Which angle is a right angle?", "哪个角是直角？")
    elif angle:
        sheet.ask_in_vain("What is the perimeter?", "周长是多少？")
    else:
        sheet.ask_in_vain("What is the radius?", "半径是多少？")
    sheet.keep(12)


def _compare(sheet: Sheet, problem: Problem, given: dict[str, Box]) -> None:
    values = [(what, int(value.rstrip("°"))) for what, value in problem.figure.given]
    if len(values) > 1 and values[0][1] != values[1][1]:
        (a, first), (b, second) = values[:2]
        more = a if first > second else b
        x, y = problem.named(a), problem.named(b)
        sheet.pose(
            "comparison",
            (f"Which is larger, {x[0]} or {y[0]}?", f"{x[1]}和{y[1]}哪个更大？"),
            problem.named(more),
            given[more],
        )
        return
    what, value = values[0]
    limit = value + sheet.rng.choice((-3, -2, 2, 3))
    name = problem.named(what)
    sheet.pose(
        "comparison",
        (f"Is {name[0]} more than {limit}?", f"{name[1]}大于{limit}吗？"),
        yes_no(value > limit),
        given[what],
    )
