"""Drawing of plain shapes on a table, sheet or cloth, in spatial relations.

Combinations: ``shapes/<shape>/<color>`` and ``shapes/<shape>/<relation>/<shape>``.
"""

from __future__ import annotations

import random

from sightline.training.world.core.builder import SceneBuilder, ellipse_outline
from sightline.training.world.core.camera import Camera, Point
from sightline.training.world.core.canvas import RGB, Canvas, darker, jitter, lighter
from sightline.training.world.core.language import COLORS
from sightline.training.world.core.polygons import polygon
from sightline.training.world.core.scene import Scene, Split
from sightline.training.world.core.splits import sample_attributes
from sightline.training.world.shapes import questions
from sightline.training.world.shapes.plan import GROUNDS, LAYOUTS, Plan, sample_plan

#: Center x, center y, radius, rotation in radians.
Spot = tuple[float, float, float, float]


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw shapes in relation, with captions and questions."""
    plan, unseen = sample_attributes(rng, split, lambda: sample_plan(rng), Plan.combinations)
    size = rng.choice([(320, 240), (320, 320), (400, 300), (360, 300), (300, 340)])
    builder = SceneBuilder("shapes", rng, seed, split, size, GROUNDS[plan.ground])
    _draw_ground(builder, plan)
    spots = _sample_spots(rng, plan, size)
    outlines: list[list[Point]] = []
    # In the layout "inside" the outer shape is second but must be drawn first.
    order = reversed(range(len(spots))) if plan.layout == "inside" else range(len(spots))
    placed: dict[int, list[Point]] = {}
    for i in order:
        shape, color = plan.shapes[plan.kind(i)]
        placed[i] = _draw_shape(builder.canvas, shape, jitter(rng, COLORS[color], 12), spots[i])
    for i in range(len(spots)):
        shape, color = plan.shapes[plan.kind(i)]
        area = ellipse_outline(_round_box(*spots[i])) if shape == "circle" else placed[i]
        outlines.append(area)
        builder.add_object(shape, area, colour=color)
    if plan.sign:
        _draw_sign(builder, plan, spots[0])
    questions.add_captions_and_questions(builder, plan, outlines)
    return builder.render(
        plan.combinations()[0],
        unseen,
        camera=Camera.handheld(rng, size, rng.choice([0.3, 1, 1.5])),
        light=rng.uniform(0.1, 0.4),
        noise=rng.uniform(2, 14),
        blur=rng.choice([0, 0, 0, 0.6]),
        metadata={"layout": plan.layout, "ground": plan.ground},
    )


def _sample_spots(
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


def _draw_ground(builder: SceneBuilder, plan: Plan) -> None:
    rng, canvas = builder.rng, builder.canvas
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


def _draw_shape(canvas: Canvas, shape: str, color: RGB, spot: Spot) -> list[Point]:
    cx, cy, radius, turn = spot
    points = polygon(shape, cx, cy, radius, turn)
    drop = radius * 0.06
    canvas.polygon([(x + drop, y + drop * 1.3) for x, y in points], (0, 0, 0, 90))
    canvas.polygon(points, color, darker(color, 0.35), max(1.0, radius * 0.045))
    inner = polygon(shape, cx - radius * 0.03, cy - radius * 0.04, radius * 0.8, turn)
    canvas.polygon(inner, (*lighter(color, 0.28), 150))
    return points


def _round_box(
    cx: float, cy: float, radius: float, _turn: float
) -> tuple[float, float, float, float]:
    return cx - radius, cy - radius, cx + radius, cy + radius


def _draw_sign(builder: SceneBuilder, plan: Plan, spot: tuple[float, float, float, float]) -> None:
    cx, cy, radius, _ = spot
    dark = plan.shapes[0][1] in ("black", "blue", "purple", "brown", "red", "green", "grey")
    ink = (250, 250, 250) if dark else (20, 20, 24)
    font = builder.rng.choice(["bold", "slab", "condensed"])
    box = builder.canvas.text((cx, cy), plan.sign, radius * 0.8, ink, font, "mm")
    builder.add_text(plan.sign, box)
