"""Outlines of plain shapes."""

from __future__ import annotations

import math

from sightline.training.world.core.camera import Point


def polygon(shape: str, cx: float, cy: float, radius: float, turn: float) -> list[Point]:
    """Return the outline of a shape; ``turn`` in radians."""
    match shape:
        case "circle":
            unit = _ring(40)
        case "square":
            unit = _ring(4, math.pi / 4)
        case "triangle":
            unit = _ring(3, -math.pi / 2)
        case "hexagon":
            unit = _ring(6)
        case "diamond":
            unit = [(0, -1), (0.62, 0), (0, 1), (-0.62, 0)]
        case "star":
            ring = _ring(10, -math.pi / 2)
            unit = [
                (x * (0.42 if i % 2 else 1), y * (0.42 if i % 2 else 1))
                for i, (x, y) in enumerate(ring)
            ]
        case "cross":
            t = 0.32
            unit = [(-t, -1), (t, -1), (t, -t), (1, -t), (1, t), (t, t)]
            unit += [(-x, -y) for x, y in unit]
        case _:
            unit = []
            for i in range(36):
                a = i * math.pi / 18
                x = math.sin(a) ** 3
                y = 13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)
                unit.append((x, -y / 16 - 0.08))
    c, s = math.cos(turn), math.sin(turn)
    return [(cx + radius * (c * x - s * y), cy + radius * (s * x + c * y)) for x, y in unit]


def _ring(count: int, start: float = 0.0) -> list[Point]:
    step = 2 * math.pi / count
    return [(math.cos(start + i * step), math.sin(start + i * step)) for i in range(count)]
