"""Drawing of plain shapes on a table, sheet or cloth, in spatial relations.

Combinations: ``shapes/<shape>/<color>`` and ``shapes/<shape>/<relation>/<shape>``.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from sightline.training.world.core.camera import Camera, Point
from sightline.training.world.core.canvas import RGB, Canvas, darker, jitter, lighter
from sightline.training.world.core.language import CHINESE, COLOURS
from sightline.training.world.core.picture import Picture, Split
from sightline.training.world.core.splits import choose
from sightline.training.world.core.stage import Stage, around
from sightline.training.world.shapes import words
from sightline.training.world.shapes.words import SHAPES

GROUNDS: Final[dict[str, RGB]] = {
    "on white paper": (238, 236, 230),
    "on a wooden table": (176, 128, 82),
    "on blue cloth": (96, 124, 168),
    "on a dark board": (52, 56, 58),
    "on grey stone": (158, 156, 150),
    "on green felt": (72, 118, 84),
}
#: Colors with too little contrast on a ground.
LOST: Final = {
    "on white paper": {"white"},
    "on a wooden table": {"brown", "orange"},
    "on blue cloth": {"blue", "grey"},
    "on a dark board": {"black", "grey"},
    "on grey stone": {"grey"},
    "on green felt": {"green"},
}
#: Layout to the positions of its shapes (x, y, radius), relative to the image.
LAYOUTS: Final = {
    "row": [(0.28, 0.5, 0.24), (0.72, 0.5, 0.24)],
    "column": [(0.5, 0.28, 0.2), (0.5, 0.72, 0.2)],
    "inside": [(0.5, 0.5, 0.2), (0.5, 0.5, 0.4)],
    "row of three": [(0.2, 0.5, 0.19), (0.5, 0.5, 0.19), (0.8, 0.5, 0.19)],
    "column of three": [(0.5, 0.21, 0.135), (0.5, 0.5, 0.135), (0.5, 0.79, 0.135)],
    "two above one": [(0.28, 0.29, 0.2), (0.72, 0.29, 0.2), (0.5, 0.71, 0.2)],
    "one above two": [(0.5, 0.29, 0.2), (0.28, 0.71, 0.2), (0.72, 0.71, 0.2)],
    "group": [],
}


#: Center x, center y, radius, rotation in radians.
Spot = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Plan:
    """Content of an image; ``repeats`` counts the first shape in a group."""

    layout: str
    ground: str
    shapes: tuple[tuple[str, str], ...]
    repeats: int
    sign: str

    def names(self) -> list[str]:
        return [f"{colour} {shape}" for shape, colour in self.shapes]

    def names_zh(self) -> list[str]:
        return [f"{CHINESE[colour]}{SHAPES[shape]}" for shape, colour in self.shapes]

    def relations(self) -> list[tuple[int, str, int]]:
        """Return the unambiguous relations between pairs of shapes."""
        match self.layout:
            case "row":
                return [(0, "left of", 1)]
            case "column":
                return [(0, "above", 1)]
            case "inside":
                return [(0, "inside", 1)]
            case "row of three":
                return [(0, "left of", 1), (1, "left of", 2), (0, "left of", 2)]
            case "column of three":
                return [(0, "above", 1), (1, "above", 2), (0, "above", 2)]
            case "two above one":
                return [(0, "left of", 1), (0, "above", 2), (1, "above", 2)]
            case "one above two":
                return [(1, "left of", 2), (0, "above", 1), (0, "above", 2)]
            case _:
                return []

    def kind(self, spot: int) -> int:
        """Return the index of the shape at a position."""
        return (0 if spot < self.repeats else 1) if self.layout == "group" else spot

    def combinations(self) -> list[str]:
        pairs = [f"shapes/{shape}/{colour}" for shape, colour in self.shapes]
        return pairs + [
            f"shapes/{self.shapes[a][0]}/{relation}/{self.shapes[b][0]}"
            for a, relation, b in self.relations()
        ]


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw shapes in relation, with captions and questions."""
    plan, unseen = choose(rng, split, lambda: _plan(rng), Plan.combinations)
    size = rng.choice([(320, 240), (320, 320), (400, 300), (360, 300), (300, 340)])
    stage = Stage("shapes", rng, seed, split, size, GROUNDS[plan.ground])
    _ground(stage, plan)
    spots = _spots(rng, plan, size)
    outlines: list[list[Point]] = []
    # In the layout "inside" the outer shape is second but must be drawn first.
    order = reversed(range(len(spots))) if plan.layout == "inside" else range(len(spots))
    placed: dict[int, list[Point]] = {}
    for i in order:
        shape, colour = plan.shapes[plan.kind(i)]
        placed[i] = _block(stage.canvas, shape, jitter(rng, COLOURS[colour], 12), spots[i])
    for i in range(len(spots)):
        shape, colour = plan.shapes[plan.kind(i)]
        area = around(_round_box(*spots[i])) if shape == "circle" else placed[i]
        outlines.append(area)
        stage.thing(shape, area, colour=colour)
    if plan.sign:
        _sign(stage, plan, spots[0])
    words.write(stage, plan, outlines)
    return stage.finish(
        plan.combinations()[0],
        unseen,
        camera=Camera.handheld(rng, size, rng.choice([0.3, 1, 1.5])),
        light=rng.uniform(0.1, 0.4),
        noise=rng.uniform(2, 14),
        blur=rng.choice([0, 0, 0, 0.6]),
        metadata={"layout": plan.layout, "ground": plan.ground},
    )


def _plan(rng: random.Random) -> Plan:
    layout = rng.choice(list(LAYOUTS))
    ground = rng.choice(list(GROUNDS))
    colours = [c for c in COLOURS if c not in LOST[ground]]
    count = 2 if layout == "group" else len(LAYOUTS[layout])
    kinds = rng.sample(list(SHAPES), count)
    if rng.random() < 0.3 and layout not in ("group", "inside"):
        kinds[1] = kinds[0]
    if layout == "inside":
        kinds[1] = rng.choice(
            [k for k in ("circle", "square", "hexagon", "diamond") if k != kinds[0]]
        )
    shapes = tuple(zip(kinds, rng.sample(colours, count), strict=True))
    repeats = rng.randint(2, 5) if layout == "group" else 1
    sign = rng.choice("123456789ABCEFHKMT") if rng.random() < 0.4 and layout != "group" else ""
    return Plan(layout, ground, shapes, repeats, sign)


def _spots(
    rng: random.Random, plan: Plan, size: tuple[int, int]
) -> list[tuple[float, float, float, float]]:
    """Sample position, size and rotation of each shape."""
    w, h = size
    short = min(w, h)
    if plan.layout == "group":
        cells = [(x, y) for y in (0.3, 0.7) for x in (0.2, 0.5, 0.8)]
        places = [(x, y, 0.15) for x, y in rng.sample(cells, plan.repeats + 1)]
    else:
        places = LAYOUTS[plan.layout]
    spots = []
    for x, y, radius in places:
        loose = 0.0 if plan.layout == "inside" else 0.025
        # Three shapes in a row must not touch in a narrow image.
        widest = 0.148 * w if plan.layout in ("row of three", "group") else float(w)
        r = min(radius * short, widest) * rng.uniform(0.82, 1.0)
        cx = w * (x + rng.uniform(-loose, loose))
        cy = h * (y + rng.uniform(-loose, loose))
        spots.append((cx, cy, r, rng.uniform(-0.3, 0.3)))
    return spots


def _ground(stage: Stage, plan: Plan) -> None:
    rng, canvas = stage.rng, stage.canvas
    base = jitter(rng, GROUNDS[plan.ground], 14)
    w, h = canvas.size
    canvas.gradient(canvas.full, lighter(base, 0.08), darker(base, 0.12), across=rng.random() < 0.5)
    match plan.ground:
        case "on a wooden table":
            planks = rng.randint(3, 6)
            for i in range(planks):
                box = (0, h * i / planks, w, h * (i + 1) / planks)
                shade = jitter(rng, base, 10)
                canvas.rectangle(box, shade)
                for _ in range(4):
                    y = rng.uniform(box[1], box[3])
                    canvas.line(
                        [(0, y), (w, y + rng.uniform(-5, 5))], (*darker(base, 0.4), 60), 0.7
                    )
                canvas.line([(0, box[1]), (w, box[1])], darker(base, 0.5), 1)
        case "on blue cloth" | "on green felt":
            canvas.texture(rng, canvas.full, 26, 1.2)
            if plan.ground == "on blue cloth":
                step = rng.randint(16, 34)
                for x in range(0, w, step):
                    canvas.line([(x, 0), (x, h)], (255, 255, 255, 46), 2)
        case "on white paper":
            if rng.random() < 0.5:
                step = rng.randint(14, 26)
                for y in range(step, h, step):
                    canvas.line([(0, y), (w, y)], (120, 150, 200, 90), 0.7)
        case _:
            canvas.texture(rng, canvas.full, 24, rng.choice([2, 5, 9]))


def _block(canvas: Canvas, shape: str, colour: RGB, spot: Spot) -> list[Point]:
    cx, cy, radius, turn = spot
    points = polygon(shape, cx, cy, radius, turn)
    drop = radius * 0.06
    canvas.polygon([(x + drop, y + drop * 1.3) for x, y in points], (0, 0, 0, 90))
    canvas.polygon(points, colour, darker(colour, 0.35), max(1.0, radius * 0.045))
    inner = polygon(shape, cx - radius * 0.03, cy - radius * 0.04, radius * 0.8, turn)
    canvas.polygon(inner, (*lighter(colour, 0.28), 150))
    return points


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


def _round_box(
    cx: float, cy: float, radius: float, _turn: float
) -> tuple[float, float, float, float]:
    return cx - radius, cy - radius, cx + radius, cy + radius


def _sign(stage: Stage, plan: Plan, spot: tuple[float, float, float, float]) -> None:
    cx, cy, radius, _ = spot
    dark = plan.shapes[0][1] in ("black", "blue", "purple", "brown", "red", "green", "grey")
    ink = (250, 250, 250) if dark else (20, 20, 24)
    font = stage.rng.choice(["bold", "slab", "condensed"])
    box = stage.canvas.text((cx, cy), plan.sign, radius * 0.8, ink, font, "mm")
    stage.read(plan.sign, box)
