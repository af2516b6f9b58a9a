"""Drawing of streets and car parks: vehicles, a place, and a clock or timestamp.

Combinations: ``street/<vehicle>/<color>`` and ``street/<vehicle>/<relation>/<vehicle>``.
"""

from __future__ import annotations

import random

from sightline.training.world.core.builder import SceneBuilder, ellipse_outline
from sightline.training.world.core.camera import Camera, Point
from sightline.training.world.core.canvas import box_of, darker, jitter, mix, overlap
from sightline.training.world.core.clocks import draw_clock, draw_sky, draw_timestamp
from sightline.training.world.core.language import COLORS
from sightline.training.world.core.scene import Scene, Split
from sightline.training.world.core.splits import sample_attributes
from sightline.training.world.street import questions
from sightline.training.world.street.backdrops import draw_backdrop
from sightline.training.world.street.plan import DrawnAreas, Group, Plan, sample_plan
from sightline.training.world.street.vehicles import VEHICLES, Pen, draw_vehicle


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw a street or car park with captions and questions."""
    plan, unseen = sample_attributes(rng, split, lambda: sample_plan(rng), Plan.combinations)
    size = rng.choice([(400, 300), (420, 280), (384, 288), (440, 300)])
    builder = SceneBuilder("street", rng, seed, split, size)
    drawn = _paint(builder, plan)
    for group, outlines in zip(plan.groups, drawn.outlines, strict=True):
        for outline in outlines:
            builder.add_object(group.kind, outline, colour=group.color)
    if drawn.clock:
        builder.add_object(
            "clock", ellipse_outline(drawn.clock), time=questions.clock_time(plan.when)
        )
    if drawn.timestamp:
        builder.add_text(*drawn.timestamp)
    if drawn.sign:
        builder.add_text(*drawn.sign)
    questions.add_captions_and_questions(builder, plan, drawn)
    night = plan.daylight == "night"
    return builder.render(
        plan.combinations()[0],
        unseen,
        camera=Camera.handheld(rng, size, rng.choice([0.2, 0.6, 1])),
        light=rng.uniform(0.05, 0.3),
        noise=rng.uniform(6, 16) if night else rng.uniform(2, 10),
        blur=rng.choice([0, 0, 0, 0.5]),
        captured_at=plan.when,
        metadata={"place": plan.place, "daylight": plan.daylight},
    )


def _paint(builder: SceneBuilder, plan: Plan) -> DrawnAreas:
    rng, canvas = builder.rng, builder.canvas
    w, h = canvas.size
    night = plan.daylight == "night"
    horizon = h * rng.uniform(0.46, 0.52)
    draw_sky(canvas, rng, plan.daylight, horizon)
    sign = draw_backdrop(canvas, rng, plan.place, horizon, night=night)
    road = jitter(rng, (104, 104, 108), 12)
    if plan.place != "car park":
        curb = (0, horizon, w, horizon + 0.05 * h)
        canvas.rectangle(curb, jitter(rng, (176, 172, 164), 8))
        canvas.gradient((0, horizon + 0.05 * h, w, h), darker(road, 0.1), road)
        y = h * rng.uniform(0.9, 0.94)
        canvas.dashes((0, y), (w, y), (236, 232, 214), 3, 18)
    else:
        canvas.gradient((0, horizon, w, h), darker(road, 0.15), road)
        for i in range(7):
            x = w * (i + 0.5) / 7
            canvas.line([(x, horizon), (x - (w / 2 - x) * 0.45, h)], (236, 234, 226), 2.5)
    canvas.texture(rng, (0, horizon, w, h), 22, 1.5)
    if plan.daylight != "day":
        canvas.rectangle(canvas.full, (8, 12, 44, 96) if night else (70, 30, 20, 40))
    face = None
    if plan.timepiece == "clock":
        radius = h * rng.uniform(0.105, 0.13)
        center = (w * rng.choice([0.2, 0.8]) + rng.uniform(-8, 8), h * rng.uniform(0.21, 0.25))
        face = draw_clock(canvas, center, radius, plan.when, horizon + 0.03 * h)
    outlines = _vehicles(builder, plan)
    taken = [box_of(outline) for group in outlines for outline in group]
    taken += [sign[1]] if sign else []
    timestamp = draw_timestamp(canvas, rng, plan.when, taken) if plan.timepiece == "stamp" else None
    if timestamp and sign and overlap(timestamp[1], sign[1]):
        sign = None
    if face and sign and overlap(face, sign[1]):
        sign = None
    return DrawnAreas(outlines, face, timestamp, sign)


def _vehicles(builder: SceneBuilder, plan: Plan) -> list[list[list[Point]]]:
    """Draw the vehicles in one row or two and return outlines by group.

    With two rows, the first one is further away.
    """
    rng = builder.rng
    w, h = builder.canvas.size
    if plan.relation == "behind":
        side = rng.choice([-1, 1])
        far = _row(builder, plan, plan.groups[:1], (w * (0.5 - side * 0.2), h * 0.63), 0.29, 0.54)
        near = _row(builder, plan, plan.groups[1:], (w * (0.5 + side * 0.17), h * 0.92), 0.34, 0.56)
        return [*far, *near]
    ground = h * rng.uniform(0.76, 0.84)
    largest = 0.46 if len(plan.groups) == 1 and plan.groups[0].count == 1 else 0.42
    center = (w * rng.uniform(0.47, 0.53), ground)
    return _row(builder, plan, plan.groups, center, largest, 0.84)


def _row(
    builder: SceneBuilder,
    plan: Plan,
    groups: tuple[Group, ...],
    center: Point,
    unit: float,
    share: float,
) -> list[list[list[Point]]]:
    """Draw groups side by side around ``center``, the middle of their ground line.

    A car is at most ``unit`` of the image width long, and the row takes at most ``share`` of the
    image width.
    """
    rng, canvas = builder.rng, builder.canvas
    w, _ = canvas.size
    night = plan.daylight == "night"
    gap = 0.1
    total = sum(g.count * (VEHICLES[g.kind][1] + gap) for g in groups) - gap
    car = min(unit * w, share * w / total)
    x = center[0] - total * car / 2
    x = min(max(x, 0.06 * w), 0.94 * w - total * car)
    to_left = rng.random() < 0.5
    outlines: list[list[list[Point]]] = []
    for group in groups:
        placed = []
        for _ in range(group.count):
            length = VEHICLES[group.kind][1] * car
            y = center[1] + rng.uniform(-0.01, 0.015) * w
            paint = jitter(rng, COLORS[group.color], 12)
            if night:
                paint = mix(paint, (10, 14, 44), 0.16)
            pen = Pen(canvas, x, y, length, to_left)
            placed.append(draw_vehicle(pen, group.kind, paint, lit=plan.daylight != "day"))
            x += length + gap * car
        outlines.append(placed)
    return outlines
