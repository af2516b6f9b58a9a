"""Furniture and appliances in front view; each fills its box."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.camera import Point
from sightline.training.world.core.canvas import RGB, Canvas, Color, darker, jitter, lighter, mix
from sightline.training.world.core.scene import Box

_GLOW: Final[RGB] = (255, 236, 150)
_WOOD: Final[RGB] = (132, 92, 58)
_STEEL: Final[RGB] = (70, 72, 78)


@dataclass(frozen=True, slots=True)
class BoxFrame:
    """Drawing context in box coordinates (0 to 1, origin top left)."""

    canvas: Canvas
    rng: random.Random
    box: Box

    def at(self, x: float, y: float) -> Point:
        x0, y0, x1, y1 = self.box
        return x0 + x * (x1 - x0), y0 + y * (y1 - y0)

    def part(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        return (*self.at(x0, y0), *self.at(x1, y1))

    def bar(self, x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        self.canvas.rectangle(self.part(x0, y0, x1, y1), fill)

    def soft(self, box: Box, fill: Color, radius: float) -> None:
        self.canvas.rectangle(self.part(*box), fill, radius=radius)

    def shape(self, points: list[Point], fill: Color) -> None:
        self.canvas.polygon([self.at(x, y) for x, y in points], fill)


def _sofa(p: BoxFrame, c: RGB, _on: bool) -> None:
    for x in (0.08, 0.86):
        p.bar(x, 0.9, x + 0.06, 1.0, darker(_WOOD, 0.4))
    p.soft((0.06, 0.0, 0.94, 0.7), darker(c, 0.12), 8)
    for x in (0.13, 0.51):
        p.soft((x, 0.08, x + 0.36, 0.56), lighter(c, 0.1), 6)
    p.soft((0.1, 0.52, 0.9, 0.93), c, 5)
    p.bar(0.498, 0.55, 0.506, 0.78, darker(c, 0.35))
    p.bar(0.12, 0.78, 0.88, 0.8, darker(c, 0.35))
    for x in (0.0, 0.86):
        p.soft((x, 0.32, x + 0.14, 0.94), darker(c, 0.22), 6)


def _bed(p: BoxFrame, c: RGB, _on: bool) -> None:
    p.soft((0.0, 0.0, 0.1, 1.0), _WOOD, 4)
    p.bar(0.93, 0.5, 1.0, 1.0, _WOOD)
    p.bar(0.05, 0.7, 0.97, 0.88, darker(_WOOD, 0.25))
    p.soft((0.08, 0.42, 0.95, 0.76), (236, 234, 228), 5)
    p.soft((0.12, 0.24, 0.34, 0.48), (250, 250, 248), 7)
    p.soft((0.36, 0.36, 0.96, 0.84), c, 7)
    p.bar(0.37, 0.42, 0.43, 0.8, lighter(c, 0.35))


def _table(p: BoxFrame, c: RGB, _on: bool) -> None:
    for x in (0.08, 0.84):
        p.bar(x, 0.14, x + 0.08, 1.0, darker(c, 0.3))
    p.bar(0.06, 0.14, 0.94, 0.26, darker(c, 0.2))
    p.soft((0.0, 0.0, 1.0, 0.15), lighter(c, 0.08), 3)


def _desk(p: BoxFrame, c: RGB, _on: bool) -> None:
    p.bar(0.04, 0.5, 0.12, 1.0, darker(c, 0.3))
    p.bar(0.62, 0.5, 0.96, 1.0, darker(c, 0.12))
    for y in (0.54, 0.7, 0.86):
        p.bar(0.65, y, 0.93, y + 0.12, lighter(c, 0.08))
        p.bar(0.76, y + 0.05, 0.82, y + 0.07, darker(c, 0.6))
    p.soft((0.0, 0.42, 1.0, 0.52), lighter(c, 0.05), 2)
    p.soft((0.2, 0.0, 0.58, 0.32), _STEEL, 3)
    p.bar(0.22, 0.03, 0.56, 0.28, (116, 156, 196))
    p.bar(0.36, 0.3, 0.42, 0.42, _STEEL)


def _chair(p: BoxFrame, c: RGB, _on: bool) -> None:
    for x in (0.1, 0.8):
        p.bar(x, 0.56, x + 0.1, 1.0, darker(c, 0.45))
    p.bar(0.12, 0.4, 0.2, 0.56, darker(c, 0.4))
    p.bar(0.8, 0.4, 0.88, 0.56, darker(c, 0.4))
    p.soft((0.08, 0.0, 0.92, 0.42), c, 6)
    p.soft((0.2, 0.06, 0.8, 0.34), lighter(c, 0.18), 4)
    p.soft((0.0, 0.5, 1.0, 0.64), darker(c, 0.1), 4)


def _lamp(p: BoxFrame, c: RGB, on: bool) -> None:
    if on:
        x0, y0, x1, _ = p.box
        wide = x1 - x0
        center = (x0 + x1) / 2, y0 + wide * 0.45
        for step in range(7):
            p.canvas.circle(center, wide * (1.05 - 0.09 * step), (*_GLOW, 15))
    p.canvas.ellipse(p.part(0.16, 0.95, 0.84, 1.0), _STEEL)
    p.bar(0.46, 0.26, 0.54, 0.98, _STEEL)
    shade = [(0.26, 0.0), (0.74, 0.0), (1.0, 0.3), (0.0, 0.3)]
    p.shape(shade, lighter(mix(c, _GLOW, 0.15), 0.08) if on else darker(c, 0.22))
    if on:
        p.shape([(0.45, 0.1), (0.55, 0.1), (0.66, 0.3), (0.34, 0.3)], (*_GLOW, 150))
        p.bar(0.02, 0.28, 0.98, 0.31, (255, 250, 220))
    else:
        p.bar(0.02, 0.28, 0.98, 0.3, darker(c, 0.55))


def _fridge(p: BoxFrame, c: RGB, _on: bool) -> None:
    p.soft((0.0, 0.0, 1.0, 0.98), c, 5)
    p.bar(0.1, 0.97, 0.25, 1.0, _STEEL)
    p.bar(0.75, 0.97, 0.9, 1.0, _STEEL)
    p.bar(0.0, 0.33, 1.0, 0.35, darker(c, 0.5))
    p.soft((0.82, 0.14, 0.9, 0.3), darker(c, 0.5), 2)
    p.soft((0.82, 0.4, 0.9, 0.62), darker(c, 0.5), 2)
    p.bar(0.04, 0.03, 0.09, 0.31, (*lighter(c, 0.6), 150))
    p.bar(0.04, 0.38, 0.09, 0.92, (*lighter(c, 0.6), 150))


def _oven(p: BoxFrame, c: RGB, on: bool) -> None:
    p.soft((0.0, 0.04, 1.0, 1.0), c, 4)
    p.bar(0.0, 0.0, 1.0, 0.07, _STEEL)
    for i in range(4):
        p.canvas.circle(p.at(0.18 + 0.21 * i, 0.18), 0.045 * (p.box[2] - p.box[0]), _STEEL)
    p.bar(0.12, 0.31, 0.88, 0.35, (206, 208, 212))
    p.soft((0.12, 0.41, 0.88, 0.88), (255, 150, 40) if on else (34, 36, 40), 4)
    if on:
        p.soft((0.22, 0.5, 0.78, 0.8), (255, 214, 110), 4)
    for y in (0.58, 0.72):
        p.bar(0.15, y, 0.85, y + 0.015, (90, 80, 70))


def _tv(p: BoxFrame, _c: RGB, on: bool) -> None:
    p.bar(0.1, 0.78, 0.9, 1.0, darker(_WOOD, 0.2))
    p.bar(0.14, 0.82, 0.49, 0.96, _WOOD)
    p.bar(0.51, 0.82, 0.86, 0.96, _WOOD)
    p.bar(0.44, 0.64, 0.56, 0.8, _STEEL)
    p.soft((0.0, 0.0, 1.0, 0.68), (18, 18, 22), 4)
    if on:
        p.canvas.gradient(p.part(0.04, 0.05, 0.96, 0.62), (90, 190, 250), (40, 110, 190))
        p.shape([(0.04, 0.62), (0.3, 0.3), (0.5, 0.5), (0.66, 0.36), (0.96, 0.62)], (70, 150, 76))
        p.canvas.circle(p.at(0.78, 0.2), 0.05 * (p.box[2] - p.box[0]), (255, 240, 150))
    else:
        p.bar(0.04, 0.05, 0.96, 0.62, (34, 36, 42))
        p.shape([(0.6, 0.05), (0.8, 0.05), (0.45, 0.62), (0.25, 0.62)], (52, 54, 62))


def _wardrobe(p: BoxFrame, c: RGB, _on: bool) -> None:
    p.bar(0.05, 0.96, 0.15, 1.0, darker(c, 0.6))
    p.bar(0.85, 0.96, 0.95, 1.0, darker(c, 0.6))
    p.soft((0.0, 0.0, 1.0, 0.97), c, 3)
    for x in (0.06, 0.53):
        p.bar(x, 0.06, x + 0.41, 0.9, lighter(c, 0.12))
        p.bar(x + 0.06, 0.12, x + 0.35, 0.84, c)
    p.bar(0.493, 0.03, 0.507, 0.94, darker(c, 0.5))
    for x in (0.42, 0.54):
        p.bar(x, 0.46, x + 0.04, 0.56, darker(c, 0.65))


def _bookshelf(p: BoxFrame, c: RGB, _on: bool) -> None:
    p.bar(0.0, 0.0, 1.0, 1.0, c)
    spines = ((176, 52, 44), (44, 84, 150), (220, 180, 70), (60, 120, 84), (224, 214, 196))
    for row in range(4):
        y0, y1 = 0.03 + row * 0.245, 0.235 + row * 0.245
        p.bar(0.07, y0, 0.93, y1, darker(c, 0.55))
        x = 0.09
        while x < 0.8:
            wide = p.rng.uniform(0.07, 0.12)
            top = y0 + p.rng.uniform(0.02, 0.07)
            p.bar(x, top, x + wide - 0.012, y1, jitter(p.rng, p.rng.choice(spines), 14))
            x += wide


def _plant(p: BoxFrame, c: RGB, _on: bool) -> None:
    leaf = jitter(p.rng, (52, 124, 58), 14)
    stem = p.at(0.5, 0.72)
    for x, y in (
        (0.08, 0.3),
        (0.92, 0.28),
        (0.26, 0.06),
        (0.74, 0.04),
        (0.5, 0.0),
        (0.18, 0.54),
        (0.84, 0.52),
    ):
        tip = p.at(x, y)
        dx, dy = tip[0] - stem[0], tip[1] - stem[1]
        side = (-dy * 0.16, dx * 0.16)
        mid = (stem[0] + dx * 0.55, stem[1] + dy * 0.55)
        a = (mid[0] + side[0], mid[1] + side[1])
        b = (mid[0] - side[0], mid[1] - side[1])
        p.canvas.polygon([stem, a, tip, b], jitter(p.rng, leaf, 14))
    p.shape([(0.22, 0.68), (0.78, 0.68), (0.7, 1.0), (0.3, 1.0)], c)
    p.bar(0.18, 0.66, 0.82, 0.74, lighter(c, 0.15))


@dataclass(frozen=True, slots=True)
class Piece:
    """A kind of furniture: Chinese name, size relative to the image, draw function.

    ``switched`` pieces are on or off. Pieces that are not ``painted`` have no color attribute.
    """

    zh: str
    width: float
    height: float
    draw: Callable[[BoxFrame, RGB, bool], None]
    switched: bool = False
    painted: bool = True


PIECES: Final[dict[str, Piece]] = {
    "sofa": Piece("沙发", 0.4, 0.32, _sofa),
    "bed": Piece("床", 0.44, 0.3, _bed),
    "table": Piece("桌子", 0.3, 0.25, _table),
    "desk": Piece("书桌", 0.32, 0.44, _desk),
    "chair": Piece("椅子", 0.17, 0.38, _chair),
    "lamp": Piece("灯", 0.17, 0.6, _lamp, switched=True),
    "fridge": Piece("冰箱", 0.2, 0.6, _fridge),
    "oven": Piece("烤箱", 0.22, 0.34, _oven, switched=True),
    "TV": Piece("电视", 0.3, 0.42, _tv, switched=True, painted=False),
    "wardrobe": Piece("衣柜", 0.26, 0.62, _wardrobe),
    "bookshelf": Piece("书架", 0.22, 0.6, _bookshelf),
    "plant": Piece("植物", 0.18, 0.44, _plant, painted=False),
}


def draw_furniture(frame: BoxFrame, kind: str, color: RGB, *, on: bool) -> None:
    """Draw a piece of furniture with its shadow."""
    x0, _, x1, y1 = frame.box
    frame.canvas.shadow((x0, y1 - 5, x1, y1 + 6), 0.4)
    PIECES[kind].draw(frame, color, on)
