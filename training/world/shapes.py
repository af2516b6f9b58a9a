"""Plain shapes in relation: one to five blocks on a table, a sheet or a cloth.

Combinations: ``shapes/<shape>/<colour>`` and ``shapes/<shape>/<relation>/<shape>``.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from typing import Final

from sightline.training.world.camera import Camera, Point
from sightline.training.world.canvas import RGB, Canvas, darker, jitter, lighter
from sightline.training.world.language import (
    CHINESE,
    COLOURS,
    article,
    counted,
    number_zh,
    plural,
    yes_no,
)
from sightline.training.world.scene import Picture, Split
from sightline.training.world.splits import choose
from sightline.training.world.stage import Stage, around

SHAPES: Final = {
    "circle": "圆形",
    "square": "正方形",
    "triangle": "三角形",
    "star": "五角星",
    "hexagon": "六边形",
    "diamond": "菱形",
    "heart": "心形",
    "cross": "十字形",
}
GROUNDS: Final = {
    "on white paper": ("白纸上", (238, 236, 230)),
    "on a wooden table": ("木桌上", (176, 128, 82)),
    "on blue cloth": ("蓝布上", (96, 124, 168)),
    "on a dark board": ("黑板上", (52, 56, 58)),
    "on grey stone": ("灰石板上", (158, 156, 150)),
    "on green felt": ("绿绒布上", (72, 118, 84)),
}
#: Colours that would be lost on a ground.
LOST: Final = {
    "on white paper": {"white"},
    "on a wooden table": {"brown", "orange"},
    "on blue cloth": {"blue", "grey"},
    "on a dark board": {"black", "grey"},
    "on grey stone": {"grey"},
    "on green felt": {"green"},
}
#: Layout: where the shapes stand, in shares of the picture (x, y, radius).
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
RELATIONS: Final = {"left of": "左边", "above": "上面", "inside": "里面"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be drawn; ``repeats`` is how often the first shape stands in a group."""

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
        """The pairs of shapes that stand in a relation which nobody would dispute."""
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

    def combinations(self) -> list[str]:
        pairs = [f"shapes/{shape}/{colour}" for shape, colour in self.shapes]
        return pairs + [
            f"shapes/{self.shapes[a][0]}/{relation}/{self.shapes[b][0]}"
            for a, relation, b in self.relations()
        ]


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw shapes in relation."""
    plan, unseen = choose(rng, split, lambda: _plan(rng), Plan.combinations)
    size = rng.choice([(320, 240), (320, 320), (400, 300), (360, 300), (300, 340)])
    stage = Stage("shapes", rng, seed, split, size, GROUNDS[plan.ground][1])
    _ground(stage, plan)
    spots = _spots(rng, plan, size)
    outlines: list[list[Point]] = []
    # In "inside" the outer shape comes second and must be drawn first.
    order = reversed(range(len(spots))) if plan.layout == "inside" else range(len(spots))
    placed: dict[int, list[Point]] = {}
    for i in order:
        shape, colour = plan.shapes[_kind(plan, i)]
        placed[i] = _block(stage.canvas, rng, shape, jitter(rng, COLOURS[colour], 12), *spots[i])
    for i in range(len(spots)):
        shape, colour = plan.shapes[_kind(plan, i)]
        area = around(_round_box(*spots[i])) if shape == "circle" else placed[i]
        outlines.append(area)
        stage.thing(shape, area, colour=colour)
    if plan.sign:
        _sign(stage, plan, spots[0])
    _caption(stage, plan)
    _ask(stage, plan, outlines)
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


def _kind(plan: Plan, spot: int) -> int:
    """Which of the plan's shapes stands in a spot."""
    return (0 if spot < plan.repeats else 1) if plan.layout == "group" else spot


def _spots(
    rng: random.Random, plan: Plan, size: tuple[int, int]
) -> list[tuple[float, float, float, float]]:
    """Centre x, centre y, radius and turn (radians) of every shape."""
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
        r = radius * short * rng.uniform(0.82, 1.0)
        cx = w * (x + rng.uniform(-loose, loose))
        cy = h * (y + rng.uniform(-loose, loose))
        spots.append((cx, cy, r, rng.uniform(-0.3, 0.3)))
    return spots


def _ground(stage: Stage, plan: Plan) -> None:
    rng, canvas = stage.rng, stage.canvas
    base = jitter(rng, GROUNDS[plan.ground][1], 14)
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


def _block(
    canvas: Canvas,
    rng: random.Random,
    shape: str,
    colour: RGB,
    cx: float,
    cy: float,
    radius: float,
    turn: float,
) -> list[Point]:
    points = polygon(shape, cx, cy, radius, turn)
    drop = radius * 0.06
    canvas.polygon([(x + drop, y + drop * 1.3) for x, y in points], (0, 0, 0, 90))
    canvas.polygon(points, colour, darker(colour, 0.35), max(1.0, radius * 0.045))
    inner = polygon(shape, cx - radius * 0.03, cy - radius * 0.04, radius * 0.8, turn)
    canvas.polygon(inner, (*lighter(colour, 0.28), 150))
    return points


def polygon(shape: str, cx: float, cy: float, radius: float, turn: float) -> list[Point]:
    """The outline of a shape about a centre, turned by radians."""
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


def _caption(stage: Stage, plan: Plan) -> None:
    en, zh = plan.names(), plan.names_zh()
    ground, ground_zh = plan.ground, GROUNDS[plan.ground][0]
    a = [article(name) for name in en]
    z = [f"一个{name}" for name in zh]
    match plan.layout:
        case "group":
            few = f"{counted(plan.repeats, en[0])} and {a[1]}"
            few_zh = f"{number_zh(plan.repeats)}个{zh[0]}和{z[1]}"
            exact, exact_zh = few, few_zh
        case "row":
            exact, exact_zh = f"{a[0]} to the left of {a[1]}", f"{z[0]}在{z[1]}的左边"
            few, few_zh = f"{a[1]} to the right of {a[0]}", f"{z[1]}在{z[0]}的右边"
        case "column":
            exact, exact_zh = f"{a[0]} above {a[1]}", f"{z[0]}在{z[1]}的上面"
            few, few_zh = f"{a[1]} below {a[0]}", f"{z[1]}在{z[0]}的下面"
        case "inside":
            exact, exact_zh = f"{a[0]} inside {a[1]}", f"{z[0]}在{z[1]}的里面"
            few, few_zh = f"{a[1]} around {a[0]}", f"{z[1]}里面有{z[0]}"
        case "two above one":
            exact = f"{a[0]} to the left of {a[1]}, both above {a[2]}"
            exact_zh = f"{z[0]}在{z[1]}的左边，下面是{z[2]}"
            few, few_zh = f"{a[0]} and {a[1]} above {a[2]}", f"{z[0]}和{z[1]}在{z[2]}的上面"
        case "one above two":
            exact = f"{a[0]} above {a[1]} on the left and {a[2]} on the right"
            exact_zh = f"{z[0]}在上面，下面左边是{z[1]}，右边是{z[2]}"
            few, few_zh = f"{a[1]} and {a[2]} below {a[0]}", f"{z[1]}和{z[2]}在{z[0]}的下面"
        case layout:
            across = layout == "row of three"
            exact = f"{a[0]}, {a[1]} and {a[2]} {'from left to right' if across else 'from top to bottom'}"
            exact_zh = f"{'从左到右' if across else '从上到下'}是{z[0]}、{z[1]}和{z[2]}"
            few = f"{a[1]} between {a[0]} and {a[2]}"
            few_zh = f"{z[1]}在{z[0]}和{z[2]}之间"
    if plan.sign:
        signed, signed_zh = f", marked {plan.sign}", f"，写着{plan.sign}"
    else:
        signed, signed_zh = "", ""
    stage.caption(f"{exact} {ground}{signed}", f"{ground_zh}，{exact_zh}{signed_zh}")
    stage.caption(
        f"{few} {ground}",
        f"{ground_zh}有{few_zh}" if plan.layout == "group" else f"{ground_zh}，{few_zh}",
    )
    stage.caption(exact, exact_zh)
    names = " and ".join(en)
    stage.caption(f"{names} {ground}", f"{ground_zh}的{'和'.join(zh)}")


def _ask(stage: Stage, plan: Plan, outlines: list[list[Point]]) -> None:
    rng = stage.rng
    kinds = [shape for shape, _ in plan.shapes]
    en, zh = plan.names(), plan.names_zh()
    total = len(outlines)
    stage.ask("count", ("How many shapes are there?", str(total)), ("一共有几个图形？", str(total)))
    counted_kind = rng.choice(kinds)
    many = sum(kinds[_kind(plan, i)] == counted_kind for i in range(total))
    stage.ask(
        "count",
        (f"How many {plural(counted_kind)} are there?", str(many)),
        (f"有几个{SHAPES[counted_kind]}？", str(many)),
    )
    for i, (shape, colour) in enumerate(plan.shapes):
        spot = next(s for s in range(total) if _kind(plan, s) == i)
        alone = plan.repeats == 1 or i == 1
        area = outlines[spot] if alone else None
        if kinds.count(shape) == 1 and alone:
            stage.ask(
                "attribute",
                (f"What colour is the {shape}?", colour),
                (f"{SHAPES[shape]}是什么颜色？", CHINESE[colour]),
                area,
            )
        if alone:
            stage.ask(
                "attribute",
                (f"What shape is {colour}?", shape),
                (f"{CHINESE[colour]}的是什么图形？", SHAPES[shape]),
                area,
            )
            stage.ask_where(f"the {en[i]}", zh[i], outlines[spot])
    _ask_relations(stage, plan, outlines)
    shape, colour = rng.choice(plan.shapes)
    if rng.random() < 0.5:
        colour = rng.choice(list(COLOURS))
    fact = (shape, colour) in plan.shapes
    yes, yes_zh = yes_no(fact)
    stage.ask(
        "existence",
        (f"Is there {article(f'{colour} {shape}')}?", yes),
        (f"有{CHINESE[colour]}{SHAPES[shape]}吗？", yes_zh),
    )
    absent = rng.choice([s for s in SHAPES if s not in kinds])
    stage.ask_in_vain(f"What colour is the {absent}?", f"{SHAPES[absent]}是什么颜色？")
    if plan.sign:
        area = outlines[0]
        stage.ask(
            "reading",
            (f"What is written on the {en[0]}?", plan.sign),
            (f"{zh[0]}上写着什么？", plan.sign),
            area,
        )
    else:
        stage.ask_in_vain(f"What is written on the {en[0]}?", f"{zh[0]}上写着什么？")


def _ask_relations(stage: Stage, plan: Plan, outlines: list[list[Point]]) -> None:
    rng = stage.rng
    en, zh = plan.names(), plan.names_zh()
    if plan.layout == "group":
        more, more_zh = yes_no(plan.repeats > 1)
        stage.ask(
            "comparison",
            (f"Are there more {plural(en[0])} than {plural(en[1])}?", more),
            (f"{zh[0]}比{zh[1]}多吗？", more_zh),
        )
        return
    a, relation, b = rng.choice(plan.relations())
    for first, second, fact in ((a, b, True), (b, a, False)):
        if rng.random() < 0.7:
            yes, yes_zh = yes_no(fact)
            stage.ask(
                "relation",
                (f"Is the {en[first]} {relation} the {en[second]}?", yes),
                (f"{zh[first]}在{zh[second]}的{RELATIONS[relation]}吗？", yes_zh),
            )
    if len(plan.shapes) == 2:
        stage.ask(
            "relation",
            (f"What is {relation} the {en[b]}?", en[a]),
            (f"{zh[b]}的{RELATIONS[relation]}是什么？", zh[a]),
            outlines[a],
        )
