"""Captions and questions of shapes."""

from __future__ import annotations

from typing import Final

from sightline.training.world.core.builder import SceneBuilder
from sightline.training.world.core.camera import Point
from sightline.training.world.core.language import (
    CHINESE,
    COLORS,
    article,
    count_phrase,
    number_word_zh,
    plural,
    yes_no,
)
from sightline.training.world.shapes.plan import SHAPES, Plan

RELATIONS: Final = {"left of": "左边", "above": "上面", "inside": "里面"}
GROUNDS_ZH: Final = {
    "on white paper": "白纸上",
    "on a wooden table": "木桌上",
    "on blue cloth": "蓝布上",
    "on a dark board": "黑板上",
    "on grey stone": "灰石板上",
    "on green felt": "绿绒布上",
}


def add_captions_and_questions(
    builder: SceneBuilder, plan: Plan, outlines: list[list[Point]]
) -> None:
    """Add captions and questions; ``outlines`` in the order of positions."""
    _add_captions(builder, plan)
    _add_questions(builder, plan, outlines)


def _add_captions(builder: SceneBuilder, plan: Plan) -> None:
    en, zh = plan.names(), plan.names_zh()
    ground, ground_zh = plan.ground, GROUNDS_ZH[plan.ground]
    a = [article(name) for name in en]
    z = [f"一个{name}" for name in zh]
    match plan.layout:
        case "group":
            few = f"{count_phrase(plan.repeats, en[0])} and {a[1]}"
            few_zh = f"{number_word_zh(plan.repeats)}个{zh[0]}和{z[1]}"
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
            order = "from left to right" if across else "from top to bottom"
            exact = f"{a[0]}, {a[1]} and {a[2]} {order}"
            exact_zh = f"{'从左到右' if across else '从上到下'}是{z[0]}、{z[1]}和{z[2]}"
            few = f"{a[1]} between {a[0]} and {a[2]}"
            few_zh = f"{z[1]}在{z[0]}和{z[2]}之间"
    if plan.sign:
        signed, signed_zh = f", marked {plan.sign}", f"，写着{plan.sign}"
    else:
        signed, signed_zh = "", ""
    builder.add_caption(f"{exact} {ground}{signed}", f"{ground_zh}，{exact_zh}{signed_zh}")
    builder.add_caption(
        f"{few} {ground}",
        f"{ground_zh}有{few_zh}" if plan.layout == "group" else f"{ground_zh}，{few_zh}",
    )
    builder.add_caption(exact, exact_zh)
    names = " and ".join(en)
    builder.add_caption(f"{names} {ground}", f"{ground_zh}的{'和'.join(zh)}")


def _add_questions(builder: SceneBuilder, plan: Plan, outlines: list[list[Point]]) -> None:
    rng = builder.rng
    kinds = [shape for shape, _ in plan.shapes]
    en, zh = plan.names(), plan.names_zh()
    total = len(outlines)
    builder.add_question(
        "count", ("How many shapes are there?", str(total)), ("一共有几个图形？", str(total))
    )
    counted_kind = rng.choice(kinds)
    many = sum(kinds[plan.kind(i)] == counted_kind for i in range(total))
    builder.add_question(
        "count",
        (f"How many {plural(counted_kind)} are there?", str(many)),
        (f"有几个{SHAPES[counted_kind]}？", str(many)),
    )
    for i, (shape, color) in enumerate(plan.shapes):
        spot = next(s for s in range(total) if plan.kind(s) == i)
        alone = plan.repeats == 1 or i == 1
        area = outlines[spot] if alone else None
        if kinds.count(shape) == 1 and alone:
            builder.add_question(
                "attribute",
                (f"What colour is the {shape}?", color),
                (f"{SHAPES[shape]}是什么颜色？", CHINESE[color]),
                area,
            )
        if alone:
            builder.add_question(
                "attribute",
                (f"What shape is {color}?", shape),
                (f"{CHINESE[color]}的是什么图形？", SHAPES[shape]),
                area,
            )
            builder.add_location_question(f"the {en[i]}", zh[i], outlines[spot])
    _add_relation_questions(builder, plan, outlines)
    shape, color = rng.choice(plan.shapes)
    if rng.random() < 0.5:
        color = rng.choice(list(COLORS))
    fact = (shape, color) in plan.shapes
    yes, yes_zh = yes_no(fact)
    builder.add_question(
        "existence",
        (f"Is there {article(f'{color} {shape}')}?", yes),
        (f"有{CHINESE[color]}{SHAPES[shape]}吗？", yes_zh),
    )
    absent = rng.choice([s for s in SHAPES if s not in kinds])
    builder.add_unanswerable_question(
        f"What colour is the {absent}?", f"{SHAPES[absent]}是什么颜色？"
    )
    if plan.sign:
        area = outlines[0]
        builder.add_question(
            "reading",
            (f"What is written on the {en[0]}?", plan.sign),
            (f"{zh[0]}上写着什么？", plan.sign),
            area,
        )
    else:
        builder.add_unanswerable_question(
            f"What is written on the {en[0]}?", f"{zh[0]}上写着什么？"
        )


def _add_relation_questions(builder: SceneBuilder, plan: Plan, outlines: list[list[Point]]) -> None:
    rng = builder.rng
    en, zh = plan.names(), plan.names_zh()
    if plan.layout == "group":
        more, more_zh = yes_no(plan.repeats > 1)
        builder.add_question(
            "comparison",
            (f"Are there more {plural(en[0])} than {plural(en[1])}?", more),
            (f"{zh[0]}比{zh[1]}多吗？", more_zh),
        )
        return
    a, relation, b = rng.choice(plan.relations())
    for first, second, fact in ((a, b, True), (b, a, False)):
        if rng.random() < 0.7:
            yes, yes_zh = yes_no(fact)
            builder.add_question(
                "relation",
                (f"Is the {en[first]} {relation} the {en[second]}?", yes),
                (f"{zh[first]}在{zh[second]}的{RELATIONS[relation]}吗？", yes_zh),
            )
    if len(plan.shapes) == 2:
        builder.add_question(
            "relation",
            (f"What is {relation} the {en[b]}?", en[a]),
            (f"{zh[b]}的{RELATIONS[relation]}是什么？", zh[a]),
            outlines[a],
        )
