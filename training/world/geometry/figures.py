"""Figures of geometry problems: points, given values, goal and answer.

A length is named by two points ("01"), an angle by three ("012", the corner in the middle). Points
use the units of the problem, y points down, and they are true to scale.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

Point = tuple[float, float]
BilingualText = tuple[str, str]

TRIPLES: Final = ((3, 4, 5), (6, 8, 10), (5, 12, 13), (8, 15, 17), (9, 12, 15), (12, 16, 20))


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure and its problem.

    The first ``vertices`` points have letters. ``right_angles`` lists the marked right angles as
    (corner, arm, arm); ``inner`` lists the dashed lines. ``turns`` and ``flips`` allow rotation and
    mirroring.
    """

    kind: str
    name: BilingualText
    points: tuple[Point, ...]
    vertices: int
    given: tuple[tuple[str, str], ...]
    goal: str
    answer: str
    right_angles: tuple[tuple[int, int, int], ...] = ()
    inner: tuple[tuple[int, int], ...] = ()
    turns: bool = True
    flips: bool = True


def right_triangle(rng: random.Random) -> Figure:
    """Ask for the third side; the right angle is at point 1."""
    a, b, c = rng.choice(TRIPLES)
    if rng.random() < 0.5:
        a, b = b, a
    sides = {"01": a, "12": b, "02": c}
    goal = rng.choice(tuple(sides))
    return Figure(
        "right triangle", ("right triangle", "直角三角形"),
        ((0, -a), (0, 0), (b, 0)), 3,
        tuple((side, str(length)) for side, length in sides.items() if side != goal),
        goal, str(sides[goal]), right_angles=((1, 0, 2),),
    )  # fmt: skip


def triangle(rng: random.Random) -> Figure:
    """Ask for the third angle."""
    a, b = rng.sample(range(35, 65, 5), 2)
    x = math.tan(math.radians(b)) / (math.tan(math.radians(a)) + math.tan(math.radians(b)))
    top = (10 * x, -10 * x * math.tan(math.radians(a)))
    return Figure(
        "triangle", ("triangle", "三角形"), ((0, 0), top, (10, 0)), 3,
        (("102", f"{a}°"), ("120", f"{b}°")), "012", f"{180 - a - b}°",
    )  # fmt: skip


def rectangle(rng: random.Random) -> Figure:
    """Ask for area or perimeter from two sides."""
    a, b = rng.choice([(a, b) for a in range(4, 13) for b in range(3, 10) if 1.25 < a / b < 2.6])
    goal = rng.choice(("area", "perimeter"))
    return Figure(
        "rectangle", ("rectangle", "长方形"), ((0, 0), (a, 0), (a, b), (0, b)), 4,
        (("01", str(a)), ("12", str(b))), goal,
        str(a * b if goal == "area" else 2 * (a + b)), right_angles=((3, 2, 0),),
    )  # fmt: skip


def square(rng: random.Random) -> Figure:
    """Ask for area or perimeter from one side."""
    a = rng.randint(3, 12)
    goal = rng.choice(("area", "perimeter"))
    return Figure(
        "square", ("square", "正方形"), ((0, 0), (a, 0), (a, a), (0, a)), 4,
        (("01", str(a)),), goal, str(a * a if goal == "area" else 4 * a),
        right_angles=((3, 2, 0),),
    )  # fmt: skip


def parallelogram(rng: random.Random) -> Figure:
    """Ask for the next angle, or for the perimeter from two sides."""
    angle = rng.randrange(50, 75, 5)
    a, b = rng.choice([(a, b) for a in range(6, 13) for b in range(3, 8) if 1.3 < a / b < 2.2])
    c, s = math.cos(math.radians(angle)) * b, math.sin(math.radians(angle)) * b
    points: tuple[Point, ...] = ((c, -s), (a + c, -s), (a, 0), (0, 0))
    name = ("parallelogram", "平行四边形")
    if rng.random() < 0.5:
        given = (("032", f"{angle}°"),)
        return Figure("parallelogram", name, points, 4, given, "123", f"{180 - angle}°")
    sides = (("01", str(a)), ("12", str(b)))
    return Figure("parallelogram", name, points, 4, sides, "perimeter", str(2 * (a + b)))


def isosceles(rng: random.Random) -> Figure:
    """Ask for the area from base and dashed height."""
    base = rng.choice((8, 10, 12, 14))
    height = rng.choice([h for h in (5, 6, 7, 9, 11) if 0.5 < h / base < 1])
    points: tuple[Point, ...] = ((0, 0), (base / 2, -height), (base, 0), (base / 2, 0))
    return Figure(
        "isosceles triangle", ("isosceles triangle", "等腰三角形"), points, 3,
        (("02", str(base)), ("13", str(height))), "area", str(base * height // 2),
        right_angles=((3, 1, 2),), inner=((1, 3),),
    )  # fmt: skip


def trapezoid(rng: random.Random) -> Figure:
    """Ask for the area from both bases and the height."""
    long, short, height = rng.choice(
        [(a, b, h) for a in range(8, 14) for b in range(4, 9) for h in range(5, 9)
         if (a + b) % 2 == 0 and 3 <= a - b <= 6]
    )  # fmt: skip
    points: tuple[Point, ...] = ((0, -height), (short, -height), (long, 0), (0, 0))
    return Figure(
        "trapezoid", ("trapezoid", "梯形"), points, 4,
        (("01", str(short)), ("23", str(long)), ("03", str(height))), "area",
        str((long + short) * height // 2), right_angles=((3, 0, 2),),
    )  # fmt: skip


def circle(rng: random.Random) -> Figure:
    """Ask for the diameter from the radius, or the reverse.

    Point 0 is the center. A drawn diameter goes from point 2 to point 1.
    """
    radius = rng.randint(2, 12)
    turn = math.radians(rng.choice((-30, -15, 15, 30, 150, 165, 195, 210)))
    x, y = radius * math.cos(turn), radius * math.sin(turn)
    frame: tuple[Point, ...] = ((-radius, -radius), (radius, radius))
    points: tuple[Point, ...] = ((0, 0), (x, y), (-x, -y), *frame)
    if rng.random() < 0.5:
        return Figure("circle", ("circle", "圆"), points, 3, (("21", str(2 * radius)),), "01",
                      str(radius), turns=False, flips=False)  # fmt: skip
    return Figure("circle", ("circle", "圆"), points, 2, (("01", str(radius)),), "diameter",
                  str(2 * radius), turns=False, flips=False)  # fmt: skip


FIGURES: Final[dict[str, Callable[[random.Random], Figure]]] = {
    "right triangle": right_triangle,
    "triangle": triangle,
    "rectangle": rectangle,
    "square": square,
    "parallelogram": parallelogram,
    "isosceles triangle": isosceles,
    "trapezoid": trapezoid,
    "circle": circle,
}
