"""Backdrops of streets: buildings, shops, houses, park, car park."""

from __future__ import annotations

import random
from typing import Final

from sightline.training.world.core.canvas import RGB, Canvas, darker, jitter, lighter
from sightline.training.world.core.scene import Box

#: Place to its caption phrase (English, Chinese).
PLACES: Final[dict[str, tuple[str, str]]] = {
    "brick building": ("in front of a brick building", "砖楼前"),
    "glass office": ("in front of a glass office", "玻璃写字楼前"),
    "houses": ("in front of a row of houses", "一排房屋前"),
    "park": ("beside a park with trees", "有树的公园旁"),
    "car park": ("in a car park", "停车场里"),
    "cafe": ("in front of a cafe", "咖啡馆前"),
    "bakery": ("in front of a bakery", "面包店前"),
    "bookshop": ("in front of a bookshop", "书店前"),
    "hotel": ("in front of a hotel", "酒店前"),
}
#: Place to (shop sign, awning color).
SIGNS: Final[dict[str, tuple[str, RGB]]] = {
    "cafe": ("CAFE", (120, 70, 40)),
    "bakery": ("BAKERY", (214, 140, 40)),
    "bookshop": ("BOOKS", (40, 96, 80)),
    "hotel": ("HOTEL", (130, 30, 44)),
}
_LIT: Final[RGB] = (255, 226, 140)


def draw_backdrop(
    canvas: Canvas, rng: random.Random, place: str, horizon: float, *, night: bool
) -> tuple[str, Box] | None:
    """Draw a place down to ``horizon`` (pixels) and return its sign, if any."""
    w, _ = canvas.size
    match place:
        case "brick building":
            _brick(canvas, rng, (0.04 * w, 0.1 * horizon, 0.96 * w, horizon), night=night)
        case "glass office":
            _glass(canvas, rng, (0.06 * w, 0.02 * horizon, 0.94 * w, horizon), night=night)
        case "houses":
            _houses(canvas, rng, horizon, night=night)
        case "park":
            _park(canvas, rng, horizon)
        case "car park":
            return _car_park(canvas, rng, horizon)
        case _:
            return _shop(canvas, rng, place, horizon, night=night)
    return None


def _pane(canvas: Canvas, rng: random.Random, box: Box, *, night: bool) -> None:
    lit = night and rng.random() < 0.6
    glass = _LIT if lit else jitter(rng, (92, 116, 138), 16)
    canvas.rectangle(box, glass, (232, 230, 224), 1.3)


def _brick(canvas: Canvas, rng: random.Random, box: Box, *, night: bool) -> None:
    x0, y0, x1, y1 = box
    base = jitter(rng, (158, 80, 58), 14)
    canvas.rectangle(box, base)
    course = rng.uniform(7, 9)
    rows = int((y1 - y0) / course)
    mortar = (*lighter(base, 0.45), 130)
    for i in range(rows + 1):
        y = y0 + i * course
        canvas.line([(x0, y), (x1, y)], mortar, 1)
        start = x0 + (i % 2) * course
        step = course * 2
        for j in range(int((x1 - start) / step) + 1):
            canvas.line([(start + j * step, y), (start + j * step, min(y + course, y1))], mortar, 1)
    canvas.rectangle((x0 - 4, y0 - 6, x1 + 4, y0), darker(base, 0.35))
    across = rng.randint(4, 6)
    wide = (x1 - x0) / across
    tall = (y1 - y0) * rng.uniform(0.26, 0.32)
    for row in range(2):
        top = y0 + (y1 - y0) * (0.1 + row * 0.44)
        for i in range(across):
            left = x0 + wide * (i + 0.27)
            _pane(canvas, rng, (left, top, left + wide * 0.46, top + tall), night=night)


def _glass(canvas: Canvas, rng: random.Random, box: Box, *, night: bool) -> None:
    x0, y0, x1, y1 = box
    base = jitter(rng, (96, 136, 168), 16)
    canvas.gradient(box, lighter(base, 0.3), darker(base, 0.25))
    across, rows = rng.randint(7, 10), rng.randint(4, 6)
    for i in range(across):
        for j in range(rows):
            cell = (
                x0 + (x1 - x0) * i / across,
                y0 + (y1 - y0) * j / rows,
                x0 + (x1 - x0) * (i + 1) / across,
                y0 + (y1 - y0) * (j + 1) / rows,
            )
            if night and rng.random() < 0.4:
                canvas.rectangle(cell, (*_LIT, 210))
            elif rng.random() < 0.4:
                canvas.rectangle(cell, (255, 255, 255, rng.randint(10, 50)))
            canvas.rectangle(cell, None, (214, 222, 228), 1.2)


def _houses(canvas: Canvas, rng: random.Random, horizon: float, *, night: bool) -> None:
    w, _ = canvas.size
    count = rng.randint(3, 4)
    walls = [(232, 216, 184), (196, 210, 214), (226, 190, 170), (206, 214, 188), (240, 236, 226)]
    for i in range(count):
        x0, x1 = w * i / count + 3, w * (i + 1) / count - 3
        y0 = horizon * rng.uniform(0.42, 0.5)
        wall = jitter(rng, rng.choice(walls), 10)
        canvas.rectangle((x0, y0, x1, horizon), wall)
        peak = horizon * rng.uniform(0.1, 0.2)
        roof = jitter(rng, rng.choice([(140, 62, 48), (92, 80, 78), (116, 74, 52)]), 10)
        canvas.polygon([(x0 - 5, y0), ((x0 + x1) / 2, peak), (x1 + 5, y0)], roof, darker(roof), 1)
        wide, tall = x1 - x0, horizon - y0
        for share in (0.12, 0.64):
            box = (x0 + wide * share, y0 + tall * 0.15, x0 + wide * (share + 0.24), y0 + tall * 0.5)
            _pane(canvas, rng, box, night=night)
        door = (x0 + wide * 0.41, y0 + tall * 0.45, x0 + wide * 0.6, horizon)
        canvas.rectangle(door, jitter(rng, (92, 60, 44), 18))


def _park(canvas: Canvas, rng: random.Random, horizon: float) -> None:
    w, _ = canvas.size
    grass = jitter(rng, (106, 146, 74), 12)
    canvas.ellipse((-0.3 * w, 0.5 * horizon, 0.8 * w, 1.6 * horizon), lighter(grass, 0.15))
    canvas.ellipse((0.3 * w, 0.58 * horizon, 1.4 * w, 1.6 * horizon), grass)
    count = rng.randint(4, 6)
    for i in range(count):
        x = w * (i + rng.uniform(0.3, 0.7)) / count
        crown = w * rng.uniform(0.08, 0.11)
        y = horizon * rng.uniform(0.3, 0.42)
        trunk = jitter(rng, (96, 70, 48), 10)
        canvas.rectangle((x - w * 0.011, y, x + w * 0.011, horizon * rng.uniform(0.9, 1)), trunk)
        leaf = jitter(rng, (54, 108, 52), 22)
        for dx, dy, share in ((-0.6, 0.3, 0.7), (0.6, 0.3, 0.7), (0, -0.2, 1.0)):
            canvas.circle((x + dx * crown, y + dy * crown), crown * share, jitter(rng, leaf, 6))
        canvas.circle((x - crown * 0.25, y - crown * 0.45), crown * 0.45, lighter(leaf, 0.14))


def _car_park(canvas: Canvas, rng: random.Random, horizon: float) -> tuple[str, Box]:
    w, h = canvas.size
    wall = jitter(rng, (184, 182, 174), 10)
    top = horizon * 0.62
    canvas.rectangle((0, horizon * 0.35, w, top), darker(jitter(rng, (116, 140, 96), 10), 0.1))
    canvas.rectangle((0, top, w, horizon), wall)
    canvas.line([(0, top), (w, top)], lighter(wall, 0.5), 3)
    for i in range(9):
        x = w * (i + 0.5) / 9
        canvas.line([(x, horizon), (x - (w / 2 - x) * 0.35, h)], (240, 240, 232), 2.5)
    x, y, r = w * rng.choice([0.16, 0.84]), horizon * 0.42, horizon * 0.16
    canvas.rectangle((x - 3, y, x + 3, horizon), (120, 122, 126))
    canvas.rectangle((x - r, y - r, x + r, y + r), (28, 84, 168), (245, 245, 245), 2, 4)
    return "P", canvas.text((x, y), "P", r * 1.7, (255, 255, 255), "bold", "mm")


def _shop(
    canvas: Canvas, rng: random.Random, place: str, horizon: float, *, night: bool
) -> tuple[str, Box]:
    w, _ = canvas.size
    sign, color = SIGNS[place]
    wall = jitter(rng, (216, 206, 188), 14)
    color = jitter(rng, color, 10)
    canvas.rectangle((0.04 * w, 0.06 * horizon, 0.96 * w, horizon), wall)
    for i in range(5):
        left = w * (0.09 + i * 0.17)
        _pane(canvas, rng, (left, 0.11 * horizon, left + 0.1 * w, 0.3 * horizon), night=night)
    board = (0.2 * w, 0.35 * horizon, 0.8 * w, 0.57 * horizon)
    canvas.rectangle(board, darker(color, 0.2), lighter(color, 0.5), 2)
    canvas.rectangle((0.08 * w, 0.68 * horizon, 0.92 * w, horizon), _LIT if night else (70, 86, 98))
    stripes = rng.randint(10, 16)
    for i in range(stripes):
        x0, x1 = (0.06 + 0.88 * i / stripes) * w, (0.06 + 0.88 * (i + 1) / stripes) * w
        shade = color if i % 2 else (244, 240, 232)
        canvas.rectangle((x0, 0.6 * horizon, x1, 0.73 * horizon), shade)
        canvas.pieslice((x0, 0.69 * horizon, x1, 0.77 * horizon), 0, 180, shade)
    center = (0.5 * w, 0.46 * horizon)
    font = rng.choice(["bold", "slab", "condensed"])
    return sign, canvas.text(center, sign, 0.19 * horizon, (252, 246, 226), font, "mm")
