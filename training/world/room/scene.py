"""Drawing of rooms: furniture, windows, a wall clock, lamps on or off.

Combinations: ``room/<piece>/<color>`` and ``room/<piece>/left of/<piece>`` for neighbors.
"""

from __future__ import annotations

import random

from sightline.training.world.core.builder import SceneBuilder
from sightline.training.world.core.camera import Camera
from sightline.training.world.core.canvas import Canvas, darker, jitter, lighter
from sightline.training.world.core.language import COLORS
from sightline.training.world.core.scene import Box, Scene, Split
from sightline.training.world.core.splits import sample_attributes
from sightline.training.world.room import questions
from sightline.training.world.room.furniture import PIECES, BoxFrame, draw_furniture
from sightline.training.world.room.plan import (
    PAINTS,
    WALLS,
    DrawnAreas,
    Plan,
    sample_plan,
    total_width,
)


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw a room with captions and questions."""
    plan, unseen = sample_attributes(rng, split, lambda: sample_plan(rng), Plan.combinations)
    size = rng.choice([(400, 300), (384, 288), (420, 290), (360, 300)])
    builder = SceneBuilder("room", rng, seed, split, size)
    drawn = _paint(builder, plan)
    for item, box in zip(plan.items, drawn.items, strict=True):
        attributes = {"colour": item.color} if item.color else {}
        if PIECES[item.kind].switched:
            attributes["state"] = "on" if item.on else "off"
        builder.add_object(item.kind, box, **attributes)
    for box in drawn.windows:
        builder.add_object("window", box, curtains=plan.curtains)
    questions.add_captions_and_questions(builder, plan, drawn)
    return builder.render(
        plan.combinations()[0],
        unseen,
        camera=Camera.handheld(rng, size, rng.choice([0.2, 0.6, 1])),
        light=rng.uniform(0.08, 0.35),
        noise=rng.uniform(2, 11),
        blur=rng.choice([0, 0, 0, 0.5]),
        metadata={
            "room": plan.room,
            "wall": plan.wall,
            "daylight": "night" if plan.night else "day",
        },
    )


def _paint(builder: SceneBuilder, plan: Plan) -> DrawnAreas:
    rng, canvas = builder.rng, builder.canvas
    w, h = canvas.size
    wall = jitter(rng, WALLS[plan.wall], 8)
    if plan.night:
        wall = darker(wall, 0.12)
    floor_y = h * rng.uniform(0.68, 0.74)
    canvas.gradient((0, 0, w, floor_y), wall, darker(wall, 0.08))
    _draw_floor(canvas, rng, floor_y, night=plan.night)
    canvas.rectangle((0, floor_y - 5, w, floor_y), lighter(wall, 0.5))
    drawn = DrawnAreas()
    _draw_wall_objects(builder, plan, drawn)
    total = total_width([i.kind for i in plan.items])
    scale = min(1.3, 0.84 / total) if total < 0.75 else 0.86 / total
    free = 0.88 - total * scale
    gap = free / (len(plan.items) + 1)
    x = (0.06 + gap) * w
    for item in plan.items:
        piece = PIECES[item.kind]
        wide = piece.width * scale * w
        tall = min(piece.height * min(scale, 1.1), 0.62) * h
        ground = h * rng.uniform(0.84, 0.9)
        box = (x, ground - tall, x + wide, ground)
        color = jitter(rng, COLORS[item.color or rng.choice(PAINTS)], 10)
        draw_furniture(BoxFrame(canvas, rng, box), item.kind, color, on=item.on)
        drawn.items.append(box)
        x += wide + gap * w
    return drawn


def _draw_floor(canvas: Canvas, rng: random.Random, top: float, *, night: bool) -> None:
    w, h = canvas.size
    base = jitter(rng, rng.choice([(176, 134, 92), (150, 108, 72), (196, 188, 176)]), 10)
    if night:
        base = darker(base, 0.22)
    canvas.gradient((0, top, w, h), darker(base, 0.12), base)
    for i in range(11):
        x = w * (i - 0.5) / 9
        ends = [(x, top), (x - (w / 2 - x) * 0.5, h)]
        canvas.line(ends, (*darker(base, 0.35), 120), 1)
    canvas.texture(rng, (0, top, w, h), 16, 2)


def _draw_wall_objects(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    """Draw windows and a clock in thirds of the wall, behind the furniture."""
    rng, canvas = builder.rng, builder.canvas
    w, h = canvas.size
    thirds = rng.sample([0.22, 0.5, 0.78], 3)
    for center in thirds[: plan.windows]:
        box = ((center - 0.105) * w, 0.08 * h, (center + 0.105) * w, 0.38 * h)
        _draw_window(canvas, rng, box, plan)
        x0, y0, x1, y1 = box
        drawn.windows.append((x0 - 0.03 * w, y0 - 5, x1 + 0.03 * w, y1 + 6))
    if plan.time:
        x, y = thirds[plan.windows] * w, 0.125 * h
        half = 0.1 * w
        case = (x - half, y - 0.06 * h, x + half, y + 0.06 * h)
        canvas.rectangle(case, (20, 22, 26), (96, 98, 104), 2, 4)
        ink = rng.choice([(255, 74, 60), (96, 255, 130), (120, 210, 255)])
        drawn.clock = canvas.text((x, y), plan.time, 0.095 * h, ink, "bold", "mm")
        builder.add_text(plan.time, drawn.clock)


def _draw_window(canvas: Canvas, rng: random.Random, box: Box, plan: Plan) -> None:
    x0, y0, x1, y1 = box
    if plan.night:
        canvas.gradient(box, (10, 14, 38), (40, 46, 84))
        canvas.circle((x0 + (x1 - x0) * 0.62, y0 + (y1 - y0) * 0.3), 5, (250, 246, 220))
    else:
        canvas.gradient(box, (120, 178, 232), (214, 234, 246))
        hill = jitter(rng, (104, 158, 84), 14)
        canvas.rectangle((x0, y1 - (y1 - y0) * rng.uniform(0.15, 0.3), x1, y1), hill)
    frame = (244, 242, 236)
    canvas.rectangle(box, None, frame, 3)
    canvas.line([((x0 + x1) / 2, y0), ((x0 + x1) / 2, y1)], frame, 2.5)
    canvas.rectangle((x0 - 4, y1 - 1, x1 + 4, y1 + 5), frame)
    cloth = jitter(rng, COLORS[plan.curtains], 8)
    wide = (x1 - x0) * 0.3
    out = 0.03 * canvas.size[0]
    for left in (x0 - out, x1 + out - wide):
        canvas.rectangle((left, y0 - 3, left + wide, y1 + 4), cloth)
        for i in range(1, 4):
            x = left + wide * i / 4
            canvas.line([(x, y0), (x, y1 + 4)], darker(cloth, 0.25), 1.2)
    canvas.line([(x0 - out, y0 - 4), (x1 + out, y0 - 4)], (92, 72, 54), 2.5)
