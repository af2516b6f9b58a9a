"""Drawing of streets and car parks: vehicles, a place, and a clock or timestamp.

Combinations: ``street/<vehicle>/<color>`` and ``street/<vehicle>/<relation>/<vehicle>``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from sightline.training.world.core.camera import Camera, Point
from sightline.training.world.core.canvas import box_of, darker, jitter, mix, overlap
from sightline.training.world.core.clocks import clock, moment, sky, stamp
from sightline.training.world.core.language import COLOURS
from sightline.training.world.core.picture import Box, Picture, Split
from sightline.training.world.core.splits import choose
from sightline.training.world.core.stage import Stage, around
from sightline.training.world.street import words
from sightline.training.world.street.backdrops import PLACES, backdrop
from sightline.training.world.street.vehicles import VEHICLES, Pen, vehicle

PAINTS: Final = ("red", "orange", "yellow", "green", "blue", "purple", "black", "grey", "white")


@dataclass(frozen=True, slots=True)
class Group:
    """Adjacent vehicles of one kind and color."""

    kind: str
    colour: str
    count: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Content of a street.

    ``relation`` relates the first group to the second: "left of" in the same row, "behind" in a row
    further away, or empty for a single group.
    """

    groups: tuple[Group, ...]
    relation: str
    place: str
    daylight: str
    when: datetime
    timepiece: str

    def combinations(self) -> list[str]:
        pairs = [f"street/{g.kind}/{g.colour}" for g in self.groups]
        if self.relation:
            first, second = self.groups
            pairs.append(f"street/{first.kind}/{self.relation}/{second.kind}")
        return pairs


@dataclass(frozen=True, slots=True)
class Drawn:
    """Positions of drawn objects: outlines by group, clock, timestamp, sign."""

    outlines: list[list[list[Point]]]
    clock: Box | None = None
    stamp: tuple[str, Box] | None = None
    sign: tuple[str, Box] | None = None


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw a street or car park with captions and questions."""
    plan, unseen = choose(rng, split, lambda: _plan(rng), Plan.combinations)
    size = rng.choice([(400, 300), (420, 280), (384, 288), (440, 300)])
    stage = Stage("street", rng, seed, split, size)
    drawn = _paint(stage, plan)
    for group, outlines in zip(plan.groups, drawn.outlines, strict=True):
        for outline in outlines:
            stage.thing(group.kind, outline, colour=group.colour)
    if drawn.clock:
        stage.thing("clock", around(drawn.clock), time=words.clock_time(plan.when))
    if drawn.stamp:
        stage.read(*drawn.stamp)
    if drawn.sign:
        stage.read(*drawn.sign)
    words.write(stage, plan, drawn)
    night = plan.daylight == "night"
    return stage.finish(
        plan.combinations()[0],
        unseen,
        camera=Camera.handheld(rng, size, rng.choice([0.2, 0.6, 1])),
        light=rng.uniform(0.05, 0.3),
        noise=rng.uniform(6, 16) if night else rng.uniform(2, 10),
        blur=rng.choice([0, 0, 0, 0.5]),
        captured_at=plan.when,
        metadata={"place": plan.place, "daylight": plan.daylight},
    )


def _plan(rng: random.Random) -> Plan:
    kinds = rng.sample(list(VEHICLES), 2)
    if rng.random() < 0.15:
        kinds[1] = kinds[0]
    colours = rng.sample(PAINTS, 2)
    relation = rng.choice(["", "left of", "left of", "behind"])
    most = {"": 3, "left of": 2, "behind": 2}[relation]
    counts = [rng.randint(1, most) for _ in kinds]
    if relation == "left of" and sum(counts) > 3:
        counts[rng.randrange(2)] = 1
    groups = [Group(k, c, n) for k, c, n in zip(kinds, colours, counts, strict=True)]
    daylight, when = moment(rng)
    return Plan(
        tuple(groups if relation else groups[:1]),
        relation,
        rng.choice(list(PLACES)),
        daylight,
        when,
        rng.choice(["clock", "clock", "stamp", "stamp", "none"]),
    )


def _paint(stage: Stage, plan: Plan) -> Drawn:
    rng, canvas = stage.rng, stage.canvas
    w, h = canvas.size
    night = plan.daylight == "night"
    horizon = h * rng.uniform(0.46, 0.52)
    sky(canvas, rng, plan.daylight, horizon)
    sign = backdrop(canvas, rng, plan.place, horizon, night=night)
    road = jitter(rng, (104, 104, 108), 12)
    if plan.place != "car park":
        kerb = (0, horizon, w, horizon + 0.05 * h)
        canvas.rectangle(kerb, jitter(rng, (176, 172, 164), 8))
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
        centre = (w * rng.choice([0.2, 0.8]) + rng.uniform(-8, 8), h * rng.uniform(0.21, 0.25))
        face = clock(canvas, centre, radius, plan.when, horizon + 0.03 * h)
    outlines = _vehicles(stage, plan)
    taken = [box_of(outline) for group in outlines for outline in group]
    taken += [sign[1]] if sign else []
    shown = stamp(canvas, rng, plan.when, taken) if plan.timepiece == "stamp" else None
    if shown and sign and overlap(shown[1], sign[1]):
        sign = None
    if face and sign and overlap(face, sign[1]):
        sign = None
    return Drawn(outlines, face, shown, sign)


def _vehicles(stage: Stage, plan: Plan) -> list[list[list[Point]]]:
    """Draw the vehicles in one row or two and return outlines by group.

    With two rows, the first one is further away.
    """
    rng = stage.rng
    w, h = stage.canvas.size
    if plan.relation == "behind":
        side = rng.choice([-1, 1])
        far = _row(stage, plan, plan.groups[:1], (w * (0.5 - side * 0.2), h * 0.63), 0.29, 0.54)
        near = _row(stage, plan, plan.groups[1:], (w * (0.5 + side * 0.17), h * 0.92), 0.34, 0.56)
        return [*far, *near]
    ground = h * rng.uniform(0.76, 0.84)
    largest = 0.46 if len(plan.groups) == 1 and plan.groups[0].count == 1 else 0.42
    centre = (w * rng.uniform(0.47, 0.53), ground)
    return _row(stage, plan, plan.groups, centre, largest, 0.84)


def _row(
    stage: Stage,
    plan: Plan,
    groups: tuple[Group, ...],
    centre: Point,
    unit: float,
    share: float,
) -> list[list[list[Point]]]:
    """Draw groups side by side around ``center``, the middle of their ground line.

    The length of a car is at most ``unit`` of the image width, and the row takes at most ``share``
    of the image width.
    """
    rng, canvas = stage.rng, stage.canvas
    w, _ = canvas.size
    night = plan.daylight == "night"
    gap = 0.1
    total = sum(g.count * (VEHICLES[g.kind][1] + gap) for g in groups) - gap
    car = min(unit * w, share * w / total)
    x = centre[0] - total * car / 2
    x = min(max(x, 0.06 * w), 0.94 * w - total * car)
    to_left = rng.random() < 0.5
    outlines: list[list[list[Point]]] = []
    for group in groups:
        placed = []
        for _ in range(group.count):
            length = VEHICLES[group.kind][1] * car
            y = centre[1] + rng.uniform(-0.01, 0.015) * w
            paint = jitter(rng, COLOURS[group.colour], 12)
            if night:
                paint = mix(paint, (10, 14, 44), 0.16)
            pen = Pen(canvas, x, y, length, to_left)
            placed.append(vehicle(pen, group.kind, paint, lit=plan.daylight != "day"))
            x += length + gap * car
        outlines.append(placed)
    return outlines
