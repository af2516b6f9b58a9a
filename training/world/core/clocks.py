"""Time in an image: clock, camera timestamp and daylight."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sightline.training.world.core.camera import Point
from sightline.training.world.core.canvas import RGB, Canvas, jitter, overlap
from sightline.training.world.core.scene import Box

#: Daylight to (Chinese name, English caption phrase, hours from and to).
DAYLIGHT: Final[dict[str, tuple[str, str, tuple[int, int]]]] = {
    "day": ("白天", "by day", (7, 17)),
    "evening": ("傍晚", "in the evening", (17, 20)),
    "night": ("夜晚", "at night", (20, 29)),
}
_SKIES: Final[dict[str, list[tuple[RGB, RGB]]]] = {
    "day": [((96, 156, 222), (206, 228, 244)), ((176, 190, 204), (226, 230, 232))],
    "evening": [((92, 96, 156), (246, 166, 96)), ((60, 82, 140), (238, 130, 110))],
    "night": [((8, 12, 34), (34, 42, 78)), ((14, 14, 26), (52, 48, 70))],
}


def sample_time(rng: random.Random) -> tuple[str, datetime]:
    """Sample a daylight and a matching time in 2026, in 5-minute steps."""
    daylight = rng.choice(list(DAYLIGHT))
    first, last = DAYLIGHT[daylight][2]
    minutes = rng.randrange(first * 60, last * 60, 5) % (24 * 60)
    day = datetime(2026, 1, 1) + timedelta(days=rng.randrange(365))  # noqa: DTZ001 (local time)
    return daylight, day + timedelta(minutes=minutes)


def draw_sky(canvas: Canvas, rng: random.Random, daylight: str, horizon: float) -> None:
    """Draw the sky down to ``horizon``, with clouds or stars."""
    w, _ = canvas.size
    top, low = rng.choice(_SKIES[daylight])
    canvas.gradient((0, 0, w, horizon), jitter(rng, top), jitter(rng, low))
    if daylight == "night":
        for _ in range(30):
            canvas.circle((rng.uniform(0, w), rng.uniform(0, horizon * 0.6)), 0.8, (255, 255, 240))
        return
    for _ in range(rng.randint(0, 4)):
        x, y, r = rng.uniform(0, w), rng.uniform(0, horizon * 0.4), rng.uniform(0.03, 0.06) * w
        for dx in (-1, 0, 1):
            box = (x + (dx - 1) * r, y - r * 0.5, x + (dx + 1) * r, y + r * 0.5)
            canvas.ellipse(box, (255, 250, 244, 90))


def draw_clock(canvas: Canvas, center: Point, radius: float, when: datetime, post: float) -> Box:
    """Draw an analog clock on a post and return the box of its face."""
    x, y = center
    rim = (38, 44, 50)
    canvas.rectangle((x - radius * 0.13, y, x + radius * 0.13, post), rim)
    canvas.circle(center, radius * 1.12, rim)
    canvas.circle(center, radius, (250, 248, 238))
    for i in range(12):
        a = i * math.pi / 6
        inner = 0.68 if i % 3 == 0 else 0.8
        ends = [(x + math.sin(a) * radius * r, y - math.cos(a) * radius * r) for r in (inner, 0.92)]
        canvas.line(ends, (30, 30, 34), radius * (0.12 if i % 3 == 0 else 0.06))
    turns = ((when.hour % 12 + when.minute / 60) / 12, 0.5, 0.15), (when.minute / 60, 0.82, 0.09)
    for turn, length, width in turns:
        a = turn * 2 * math.pi
        tip = (x + math.sin(a) * radius * length, y - math.cos(a) * radius * length)
        tail = (x - math.sin(a) * radius * 0.12, y + math.cos(a) * radius * 0.12)
        canvas.line([tail, tip], (16, 16, 20), radius * width)
    canvas.circle(center, radius * 0.09, (180, 30, 30))
    r = radius * 1.12
    return x - r, y - r, x + r, y + r


def draw_timestamp(
    canvas: Canvas, rng: random.Random, when: datetime, occupied: Sequence[Box]
) -> tuple[str, Box]:
    """Draw a camera timestamp in a corner, outside the boxes if possible.

    Returns its text and box.
    """
    w, h = canvas.size
    text = when.strftime("%Y-%m-%d %H:%M")
    size = h * rng.uniform(0.058, 0.068)
    corners = [(0.08, 0.925, "ls"), (0.08, 0.075, "lt"), (0.92, 0.925, "rs"), (0.92, 0.075, "rt")]
    rng.shuffle(corners)

    def box_at(corner: tuple[float, float, str]) -> Box:
        x, y, anchor = corner
        x0, y0, x1, y1 = canvas.text_box((x * w, y * h), text, size, "condensed", anchor)
        return x0 - 4, y0 - 3, x1 + 4, y1 + 3

    free = [c for c in corners if not any(overlap(box_at(c), box) for box in occupied)]
    corner = (free or corners)[0]
    canvas.rectangle(box_at(corner), (0, 0, 0, 170))
    ink = rng.choice([(255, 255, 255), (255, 236, 120), (140, 255, 150)])
    at = (corner[0] * w, corner[1] * h)
    return text, canvas.text(at, text, size, ink, "condensed", corner[2])
