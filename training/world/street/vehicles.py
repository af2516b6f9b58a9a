"""Vehicles in side view, drawn in units of their length."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.camera import Point
from sightline.training.world.core.canvas import RGB, Canvas, Color, darker, lighter

#: English name to (Chinese name, length in car lengths, height relative to length).
VEHICLES: Final[dict[str, tuple[str, float, float]]] = {
    "car": ("轿车", 1.0, 0.43),
    "van": ("面包车", 1.08, 0.55),
    "truck": ("卡车", 1.4, 0.52),
    "bus": ("公共汽车", 1.6, 0.42),
    "motorcycle": ("摩托车", 0.78, 0.62),
    "bicycle": ("自行车", 0.72, 0.66),
}
_TIRE: Final[RGB] = (24, 24, 26)
_RIM: Final[RGB] = (176, 180, 186)
_GLASS: Final[RGB] = (62, 84, 104)
_LAMP: Final[RGB] = (255, 244, 200)


@dataclass(frozen=True, slots=True)
class Pen:
    """Drawing context in vehicle lengths: x from tail to nose, y upwards."""

    canvas: Canvas
    left: float
    ground: float
    length: float
    to_left: bool

    def at(self, x: float, y: float) -> Point:
        share = 1 - x if self.to_left else x
        return self.left + share * self.length, self.ground - y * self.length

    def shape(self, points: list[Point], fill: Color, outline: Color | None = None) -> list[Point]:
        placed = [self.at(x, y) for x, y in points]
        self.canvas.polygon(placed, fill, outline, 0.008 * self.length)
        return placed

    def bar(self, x0: float, y0: float, x1: float, y1: float, fill: Color) -> None:
        self.shape([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], fill)

    def stroke(self, points: list[Point], fill: Color, width: float) -> None:
        self.canvas.line([self.at(x, y) for x, y in points], fill, width * self.length)

    def disc(self, x: float, y: float, radius: float, fill: Color) -> None:
        self.canvas.circle(self.at(x, y), radius * self.length, fill)

    def wheel(self, x: float, radius: float) -> None:
        self.disc(x, radius, radius, _TIRE)
        self.disc(x, radius, radius * 0.6, _RIM)
        self.disc(x, radius, radius * 0.2, darker(_RIM, 0.5))


def draw_vehicle(pen: Pen, kind: str, color: RGB, *, lit: bool) -> list[Point]:
    """Draw a vehicle with its shadow and return its outline."""
    x0, y0 = pen.left, pen.ground
    box = (x0, y0 - 0.07 * pen.length, x0 + pen.length, y0 + 0.05 * pen.length)
    pen.canvas.shadow(box, 0.6)
    _DRAW[kind](pen, color)
    if kind not in ("bicycle", "motorcycle"):
        pen.disc(0.975, 0.22, 0.022, _LAMP if lit else (225, 225, 215))
        pen.bar(0.0, 0.2, 0.02, 0.25, (255, 60, 50) if lit else (150, 30, 30))
    if lit:
        beam = [(0.98, 0.2), (1.22, 0.0), (1.22, 0.2)]
        pen.shape(beam, (*_LAMP, 44))
    height = VEHICLES[kind][2]
    return [pen.at(x, y) for x, y in _OUTLINES.get(kind, _block(height))]


def _block(height: float) -> list[Point]:
    return [(0, 0), (0, height), (1, height), (1, 0)]


_CAR: Final[list[Point]] = [
    (0.0, 0.09),
    (0.0, 0.24),
    (0.05, 0.28),
    (0.2, 0.3),
    (0.32, 0.43),
    (0.66, 0.43),
    (0.8, 0.3),
    (0.96, 0.26),
    (1.0, 0.21),
    (1.0, 0.09),
]
_VAN: Final[list[Point]] = [
    (0.0, 0.1),
    (0.0, 0.52),
    (0.03, 0.55),
    (0.72, 0.55),
    (0.84, 0.35),
    (0.97, 0.3),
    (1.0, 0.25),
    (1.0, 0.1),
]
_OUTLINES: Final[dict[str, list[Point]]] = {
    "car": [(0.0, 0.0), *_CAR[1:-1], (1.0, 0.0)],
    "van": [(0.0, 0.0), *_VAN[1:-1], (1.0, 0.0)],
    "motorcycle": [(0, 0), (0, 0.3), (0.12, 0.5), (0.62, 0.62), (0.74, 0.62), (1, 0.3), (1, 0)],
    "bicycle": [(0, 0), (0, 0.42), (0.26, 0.62), (0.74, 0.66), (1, 0.42), (1, 0)],
}


def _car(pen: Pen, color: RGB) -> None:
    pen.shape(_CAR, color, darker(color, 0.45))
    pen.bar(0.01, 0.1, 0.99, 0.16, darker(color, 0.25))
    pen.shape([(0.245, 0.3), (0.345, 0.4), (0.48, 0.4), (0.48, 0.3)], _GLASS)
    pen.shape([(0.51, 0.3), (0.51, 0.4), (0.64, 0.4), (0.745, 0.3)], _GLASS)
    pen.stroke([(0.1, 0.275), (0.9, 0.255)], lighter(color, 0.4), 0.008)
    pen.stroke([(0.495, 0.3), (0.495, 0.13)], darker(color, 0.4), 0.007)
    pen.bar(0.42, 0.25, 0.47, 0.265, darker(color, 0.5))
    pen.wheel(0.2, 0.098)
    pen.wheel(0.79, 0.098)


def _van(pen: Pen, color: RGB) -> None:
    pen.shape(_VAN, color, darker(color, 0.45))
    pen.bar(0.01, 0.11, 0.99, 0.17, darker(color, 0.25))
    pen.shape([(0.56, 0.36), (0.56, 0.5), (0.7, 0.5), (0.79, 0.36)], _GLASS)
    pen.stroke([(0.54, 0.53), (0.54, 0.13)], darker(color, 0.4), 0.008)
    pen.stroke([(0.28, 0.53), (0.28, 0.18)], darker(color, 0.3), 0.006)
    pen.stroke([(0.03, 0.34), (0.52, 0.34)], lighter(color, 0.4), 0.008)
    pen.wheel(0.2, 0.096)
    pen.wheel(0.81, 0.096)


def _truck(pen: Pen, color: RGB) -> None:
    pen.bar(0.0, 0.1, 0.98, 0.15, (46, 46, 50))
    cab = [(0.72, 0.1), (0.72, 0.42), (0.87, 0.42), (0.95, 0.28), (1.0, 0.26), (1.0, 0.1)]
    pen.shape(cab, lighter(color, 0.12), darker(color, 0.45))
    pen.shape([(0.78, 0.28), (0.78, 0.38), (0.86, 0.38), (0.92, 0.28)], _GLASS)
    cargo = [(0.0, 0.15), (0.0, 0.52), (0.7, 0.52), (0.7, 0.15)]
    pen.shape(cargo, color, darker(color, 0.45))
    for i in range(1, 7):
        pen.stroke([(i / 10, 0.5), (i / 10, 0.17)], darker(color, 0.18), 0.006)
    pen.stroke([(0.01, 0.505), (0.69, 0.505)], lighter(color, 0.4), 0.01)
    for x in (0.13, 0.3, 0.85):
        pen.wheel(x, 0.08)


def _bus(pen: Pen, color: RGB) -> None:
    body = [(0.0, 0.07), (0.0, 0.4), (0.02, 0.42), (0.96, 0.42), (1.0, 0.36), (1.0, 0.07)]
    pen.shape(body, color, darker(color, 0.45))
    pen.bar(0.01, 0.08, 0.99, 0.12, darker(color, 0.3))
    for i in range(6):
        x = 0.04 + i * 0.128
        pen.bar(x, 0.24, x + 0.108, 0.36, _GLASS)
    pen.bar(0.83, 0.1, 0.92, 0.36, darker(_GLASS, 0.25))
    pen.stroke([(0.875, 0.11), (0.875, 0.35)], (190, 195, 200), 0.006)
    pen.shape([(0.945, 0.2), (0.945, 0.36), (0.985, 0.34), (0.995, 0.2)], _GLASS)
    pen.stroke([(0.02, 0.2), (0.8, 0.2)], lighter(color, 0.5), 0.014)
    pen.wheel(0.2, 0.068)
    pen.wheel(0.74, 0.068)


def _motorcycle(pen: Pen, color: RGB) -> None:
    for x in (0.19, 0.81):
        pen.disc(x, 0.19, 0.19, _TIRE)
        pen.disc(x, 0.19, 0.125, (120, 122, 126))
        pen.disc(x, 0.19, 0.05, _TIRE)
    pen.stroke([(0.81, 0.19), (0.66, 0.58)], (150, 152, 158), 0.035)
    pen.shape([(0.34, 0.14), (0.32, 0.3), (0.58, 0.34), (0.64, 0.14)], (66, 68, 74))
    pen.shape(
        [(0.1, 0.42), (0.3, 0.34), (0.66, 0.36), (0.7, 0.5), (0.5, 0.52), (0.38, 0.42)], color
    )
    pen.shape([(0.06, 0.46), (0.12, 0.5), (0.4, 0.46), (0.4, 0.4), (0.2, 0.4)], (28, 28, 30))
    pen.shape([(0.68, 0.38), (0.82, 0.42), (0.76, 0.55), (0.68, 0.52)], color)
    pen.stroke([(0.6, 0.6), (0.72, 0.56)], (20, 20, 22), 0.03)
    pen.shape([(0.66, 0.36), (0.94, 0.4), (0.96, 0.36), (0.7, 0.3)], darker(color, 0.15))
    pen.stroke([(0.1, 0.16), (0.4, 0.14)], (200, 202, 206), 0.035)


def _bicycle(pen: Pen, color: RGB) -> None:
    for x in (0.22, 0.78):
        center = pen.at(x, 0.21)
        pen.canvas.circle(center, 0.205 * pen.length, None, _TIRE, 0.03 * pen.length)
        pen.canvas.circle(center, 0.18 * pen.length, None, (150, 152, 158), 0.008 * pen.length)
        for dx, dy in ((0.17, 0), (0, 0.17), (0.12, 0.12), (0.12, -0.12)):
            pen.stroke([(x - dx, 0.21 - dy), (x + dx, 0.21 + dy)], (170, 172, 176), 0.006)
    pen.stroke([(0.22, 0.21), (0.46, 0.21), (0.7, 0.5), (0.36, 0.5), (0.22, 0.21)], color, 0.045)
    pen.stroke([(0.46, 0.21), (0.34, 0.58)], color, 0.045)
    pen.stroke([(0.78, 0.21), (0.69, 0.62)], color, 0.045)
    pen.stroke([(0.26, 0.59), (0.42, 0.59)], (28, 28, 30), 0.05)
    pen.stroke([(0.64, 0.64), (0.76, 0.6)], (28, 28, 30), 0.035)
    pen.disc(0.46, 0.21, 0.045, (60, 60, 64))


_DRAW: Final = {
    "car": _car,
    "van": _van,
    "truck": _truck,
    "bus": _bus,
    "motorcycle": _motorcycle,
    "bicycle": _bicycle,
}
