"""Products, drawn into a square box."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.camera import Point
from sightline.training.world.core.canvas import RGB, Canvas, Color, darker, lighter
from sightline.training.world.core.scene import Box

_DARK: Final[RGB] = (40, 42, 48)
_METAL: Final[RGB] = (184, 188, 194)


@dataclass(frozen=True, slots=True)
class Frame:
    """Drawing context in box coordinates (0 to 1, origin top left)."""

    canvas: Canvas
    left: float
    top: float
    side: float

    def at(self, x: float, y: float) -> Point:
        return self.left + x * self.side, self.top + y * self.side

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Box:
        return (*self.at(x0, y0), *self.at(x1, y1))

    def shape(self, points: list[Point], fill: Color) -> None:
        self.canvas.polygon([self.at(x, y) for x, y in points], fill)

    def bar(self, box: Box, fill: Color, radius: float = 0.0) -> None:
        self.canvas.rectangle(self.box(*box), fill, radius=radius * self.side)

    def oval(self, box: Box, fill: Color) -> None:
        self.canvas.ellipse(self.box(*box), fill)

    def stroke(self, points: list[Point], fill: Color, width: float) -> None:
        self.canvas.line([self.at(x, y) for x, y in points], fill, width * self.side)

    def arc(self, box: Box, start: float, end: float, fill: Color, width: float) -> None:
        self.canvas.arc(self.box(*box), start, end, fill, width * self.side)


def _mug(f: Frame, c: RGB) -> None:
    f.arc((0.56, 0.3, 0.94, 0.72), -100, 100, darker(c, 0.15), 0.085)
    f.bar((0.14, 0.2, 0.7, 0.86), c, 0.07)
    f.bar((0.2, 0.3, 0.27, 0.76), (*lighter(c, 0.5), 170), 0.03)
    f.oval((0.14, 0.13, 0.7, 0.27), lighter(c, 0.25))
    f.oval((0.19, 0.155, 0.65, 0.25), darker(c, 0.6))


def _bottle(f: Frame, c: RGB) -> None:
    f.bar((0.42, 0.04, 0.58, 0.14), _DARK, 0.02)
    f.shape([(0.43, 0.14), (0.57, 0.14), (0.58, 0.26), (0.7, 0.38), (0.3, 0.38), (0.42, 0.26)], c)
    f.bar((0.3, 0.36, 0.7, 0.96), c, 0.05)
    f.bar((0.3, 0.52, 0.7, 0.74), (246, 242, 232))
    f.bar((0.36, 0.6, 0.64, 0.64), darker(c, 0.2))
    f.bar((0.35, 0.4, 0.39, 0.5), (*lighter(c, 0.6), 190))


def _chair(f: Frame, c: RGB) -> None:
    for x in (0.24, 0.74):
        f.stroke([(x, 0.58), (x - 0.02, 0.97)], darker(c, 0.5), 0.05)
    f.stroke([(0.34, 0.58), (0.36, 0.88)], darker(c, 0.6), 0.04)
    f.stroke([(0.66, 0.58), (0.66, 0.88)], darker(c, 0.6), 0.04)
    f.bar((0.22, 0.06, 0.76, 0.46), c, 0.07)
    f.bar((0.28, 0.12, 0.7, 0.4), lighter(c, 0.18), 0.05)
    f.stroke([(0.3, 0.46), (0.3, 0.54)], darker(c, 0.4), 0.04)
    f.stroke([(0.68, 0.46), (0.68, 0.54)], darker(c, 0.4), 0.04)
    f.shape([(0.2, 0.52), (0.78, 0.52), (0.84, 0.64), (0.14, 0.64)], darker(c, 0.12))


def _lamp(f: Frame, c: RGB) -> None:
    f.oval((0.3, 0.86, 0.7, 0.97), darker(_METAL, 0.4))
    f.stroke([(0.5, 0.92), (0.5, 0.46)], darker(_METAL, 0.3), 0.045)
    f.shape([(0.34, 0.08), (0.66, 0.08), (0.86, 0.5), (0.14, 0.5)], c)
    f.shape([(0.4, 0.1), (0.48, 0.1), (0.4, 0.48), (0.25, 0.48)], (*lighter(c, 0.5), 150))


def _backpack(f: Frame, c: RGB) -> None:
    f.arc((0.38, 0.02, 0.62, 0.24), 180, 360, darker(c, 0.4), 0.05)
    f.bar((0.12, 0.44, 0.24, 0.86), darker(c, 0.3), 0.05)
    f.bar((0.76, 0.44, 0.88, 0.86), darker(c, 0.3), 0.05)
    f.bar((0.2, 0.1, 0.8, 0.94), c, 0.16)
    f.bar((0.27, 0.52, 0.73, 0.86), darker(c, 0.18), 0.06)
    f.stroke([(0.3, 0.6), (0.7, 0.6)], _METAL, 0.022)
    f.stroke([(0.26, 0.34), (0.74, 0.34)], darker(c, 0.45), 0.025)


def _shirt(f: Frame, c: RGB) -> None:
    body = [(0.34, 0.1), (0.66, 0.1), (0.96, 0.28), (0.86, 0.48), (0.74, 0.42), (0.74, 0.92)]
    f.shape([*body, (0.26, 0.92), (0.26, 0.42), (0.14, 0.48), (0.04, 0.28)], c)
    f.oval((0.37, 0.02, 0.63, 0.2), darker(c, 0.45))
    f.stroke([(0.74, 0.4), (0.71, 0.26)], darker(c, 0.35), 0.015)
    f.stroke([(0.26, 0.4), (0.29, 0.26)], darker(c, 0.35), 0.015)
    f.stroke([(0.42, 0.5), (0.38, 0.86)], darker(c, 0.15), 0.02)


def _umbrella(f: Frame, c: RGB) -> None:
    f.stroke([(0.5, 0.1), (0.5, 0.84)], _DARK, 0.03)
    f.arc((0.34, 0.74, 0.52, 0.94), 0, 180, _DARK, 0.035)
    f.canvas.pieslice(f.box(0.04, 0.1, 0.96, 1.0), 180, 360, c)
    f.canvas.pieslice(f.box(0.34, 0.1, 0.66, 1.0), 180, 360, lighter(c, 0.22))
    f.stroke([(0.5, 0.03), (0.5, 0.12)], _DARK, 0.03)


def _watch(f: Frame, c: RGB) -> None:
    f.bar((0.36, 0.02, 0.64, 0.98), c, 0.05)
    f.bar((0.4, 0.02, 0.43, 0.98), darker(c, 0.25))
    f.oval((0.2, 0.2, 0.8, 0.8), darker(_METAL, 0.2))
    f.oval((0.26, 0.26, 0.74, 0.74), (248, 248, 244))
    for i in range(12):
        a = i * math.pi / 6
        ends = [(0.5 + math.sin(a) * r, 0.5 + math.cos(a) * r) for r in (0.18, 0.215)]
        f.stroke(ends, _DARK, 0.02)
    f.stroke([(0.5, 0.5), (0.5, 0.33)], _DARK, 0.025)
    f.stroke([(0.5, 0.5), (0.61, 0.56)], _DARK, 0.03)


def _teapot(f: Frame, c: RGB) -> None:
    f.arc((0.66, 0.32, 0.98, 0.74), -110, 110, darker(c, 0.2), 0.07)
    f.shape([(0.3, 0.66), (0.02, 0.3), (0.1, 0.28), (0.34, 0.48)], darker(c, 0.12))
    f.oval((0.16, 0.28, 0.84, 0.88), c)
    f.oval((0.26, 0.36, 0.44, 0.56), (*lighter(c, 0.55), 160))
    f.oval((0.34, 0.23, 0.66, 0.36), darker(c, 0.2))
    f.oval((0.45, 0.14, 0.55, 0.25), darker(c, 0.35))


def _book(f: Frame, c: RGB) -> None:
    f.shape([(0.2, 0.12), (0.82, 0.08), (0.86, 0.9), (0.24, 0.94)], (244, 240, 228))
    f.shape([(0.16, 0.1), (0.78, 0.06), (0.8, 0.86), (0.18, 0.9)], c)
    f.shape([(0.16, 0.1), (0.24, 0.095), (0.26, 0.895), (0.18, 0.9)], darker(c, 0.35))
    f.shape([(0.34, 0.24), (0.7, 0.22), (0.705, 0.36), (0.345, 0.38)], (250, 244, 224))
    f.stroke([(0.36, 0.72), (0.7, 0.7)], lighter(c, 0.5), 0.02)


def _phone(f: Frame, c: RGB) -> None:
    f.bar((0.27, 0.03, 0.73, 0.97), c, 0.07)
    f.bar((0.34, 0.12, 0.66, 0.86), (22, 28, 40), 0.02)
    f.shape([(0.34, 0.5), (0.66, 0.22), (0.66, 0.86), (0.34, 0.86)], (52, 86, 132))
    f.oval((0.47, 0.915, 0.53, 0.955), lighter(c, 0.4))
    for i in range(3):
        f.bar((0.37 + i * 0.095, 0.74, 0.44 + i * 0.095, 0.81), (236, 236, 240), 0.02)


def _ball(f: Frame, c: RGB) -> None:
    f.oval((0.08, 0.08, 0.92, 0.92), c)
    f.oval((0.22, 0.17, 0.5, 0.42), (*lighter(c, 0.6), 150))
    f.arc((0.08, 0.08, 0.92, 0.92), 0, 360, darker(c, 0.4), 0.02)
    f.arc((-0.5, 0.08, 0.4, 0.92), -58, 58, darker(c, 0.45), 0.025)
    f.arc((0.6, 0.08, 1.5, 0.92), 122, 238, darker(c, 0.45), 0.025)


#: English name to (Chinese name, draw function).
ITEMS: Final[dict[str, tuple[str, Callable[[Frame, RGB], None]]]] = {
    "mug": ("马克杯", _mug),
    "bottle": ("瓶子", _bottle),
    "chair": ("椅子", _chair),
    "lamp": ("台灯", _lamp),
    "backpack": ("背包", _backpack),
    "shirt": ("上衣", _shirt),
    "umbrella": ("雨伞", _umbrella),
    "watch": ("手表", _watch),
    "teapot": ("茶壶", _teapot),
    "book": ("书", _book),
    "phone": ("手机", _phone),
    "ball": ("球", _ball),
}
#: Ink box of each item in box coordinates.
INK: Final[dict[str, Box]] = {
    "mug": (0.14, 0.13, 0.94, 0.86),
    "bottle": (0.3, 0.04, 0.7, 0.96),
    "chair": (0.14, 0.06, 0.84, 0.97),
    "lamp": (0.14, 0.08, 0.86, 0.97),
    "backpack": (0.12, 0.02, 0.88, 0.94),
    "shirt": (0.04, 0.1, 0.96, 0.92),
    "umbrella": (0.04, 0.03, 0.96, 0.94),
    "watch": (0.2, 0.02, 0.8, 0.98),
    "teapot": (0.02, 0.14, 0.98, 0.88),
    "book": (0.16, 0.06, 0.86, 0.94),
    "phone": (0.27, 0.03, 0.73, 0.97),
    "ball": (0.08, 0.08, 0.92, 0.92),
}


def draw_item(frame: Frame, kind: str, color: RGB) -> Box:
    """Draw an item with its shadow and return its ink box."""
    frame.canvas.shadow(frame.box(0.12, 0.86, 0.88, 1.04), 0.35)
    ITEMS[kind][1](frame, color)
    return frame.box(*INK[kind])
