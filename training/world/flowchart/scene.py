"""Flowcharts: steps, arrows and optionally a decision with two branches."""

from __future__ import annotations

import random

from sightline.training.world.core.language import CHINESE, yes_no
from sightline.training.world.core.scene import Box, Scene, Split
from sightline.training.world.core.sheet import PENS, BilingualText, Sheet, same_text
from sightline.training.world.core.splits import sample_attributes
from sightline.training.world.flowchart.drawing import (
    DECISIONS,
    ENDS,
    LAYOUTS,
    SIZES,
    STARTS,
    STEPS,
    SURFACES,
    Flowchart,
    FlowchartDrawing,
)


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw a flowchart with captions and questions."""
    flow, unseen = sample_attributes(rng, split, lambda: _sample(rng), lambda f: f.combinations)
    sheet = Sheet("flowchart", rng, seed, split, rng.choice(SIZES[flow.layout]), flow.surface)
    _add_questions(sheet, flow, FlowchartDrawing(sheet, flow).paint())
    _add_captions(sheet, flow)
    return sheet.render_sheet(flow.combinations, unseen)


def _sample(rng: random.Random) -> Flowchart:
    layout = rng.choice(tuple(LAYOUTS))
    fork = layout == "fork"
    count = {"down": rng.randint(3, 5), "across": rng.randint(3, 4), "snake": rng.choice((4, 6)),
             "fork": 4}[layout]  # fmt: skip
    decision = rng.choice(DECISIONS) if fork else ""
    pool = [s for s in STEPS if s != decision.rstrip("?")]
    if fork:
        steps = (rng.choice(STARTS), *rng.sample(pool, 3))
    else:
        middle = rng.sample(pool, count)
        if rng.random() < 0.6:
            middle[0] = rng.choice(STARTS)
        if rng.random() < 0.6:
            middle[-1] = rng.choice(ENDS)
        steps = tuple(middle)
    color, other = rng.sample(PENS, 2)
    return Flowchart(
        layout=layout,
        steps=steps,
        decision=decision,
        yes_right=rng.random() < 0.5,
        color=color,
        marked=rng.choice(steps[1:]),
        marked_color=other,
        surface=rng.choice(SURFACES),
        shape=rng.choice(("square", "round")),
    )


def _add_captions(sheet: Sheet, flow: Flowchart) -> None:
    surface, layout = flow.surface.name, LAYOUTS[flow.layout]
    color, marked = flow.color, flow.marked_color
    if flow.layout == "fork":
        first, second, yes, no = flow.steps
        way: BilingualText = (
            f"{first}, {second}, {flow.decision} yes {yes}, no {no}",
            f"{first}、{second}、{flow.decision}是{yes}，否{no}",
        )
    else:
        way = ", ".join(flow.steps), "、".join(flow.steps)
    sheet.add_caption(
        f"{color} flowchart {layout[0]} on {surface[0]}: {way[0]}; {flow.marked} is {marked}",
        f"{surface[1]}上{layout[1]}的{CHINESE[color]}流程图：{way[1]}；"
        f"{flow.marked}是{CHINESE[marked]}",
    )
    sheet.add_caption(f"a flowchart: {way[0]}", f"流程图：{way[1]}")
    sheet.add_caption(
        f"a process from {flow.steps[0]} to {flow.steps[-1]} in {color} boxes",
        f"{CHINESE[color]}框的流程，从{flow.steps[0]}到{flow.steps[-1]}",
    )
    sheet.add_caption(
        f"a flowchart {layout[0]} on {surface[0]}, {flow.marked} marked in {marked}",
        f"{surface[1]}上{layout[1]}的流程图，{flow.marked}标成{CHINESE[marked]}",
    )


def _add_questions(sheet: Sheet, flow: Flowchart, boxes: dict[str, Box]) -> None:
    rng, steps, fork = sheet.rng, flow.steps, flow.layout == "fork"
    chain = [*steps[:2], flow.decision] if fork else list(steps)
    step = rng.choice(steps)
    tint = flow.color_of(step)
    sheet.add_bilingual_question(
        "attribute",
        (f"What colour is {step}?", f"{step}是什么颜色？"),
        (tint, CHINESE[tint]),
        boxes[step],
    )
    sheet.add_bilingual_question(
        "attribute", ("What is it drawn on?", "画在什么上面？"), flow.surface.name
    )
    sheet.add_bilingual_question(
        "count", ("How many boxes are there?", "有多少个方框？"), same_text(len(steps))
    )
    sheet.add_bilingual_question(
        "count",
        (f"How many boxes are {flow.color}?", f"有多少个{CHINESE[flow.color]}方框？"),
        same_text(len(steps) - 1),
    )
    sheet.add_bilingual_question(
        "existence", ("Is there a diamond?", "有菱形吗？"), yes_no(fork), boxes.get(flow.decision)
    )
    absent = rng.choice([s for s in STEPS if s not in steps and s != flow.decision[:-1]])
    present = rng.random() < 0.5
    name = step if present else absent
    sheet.add_bilingual_question(
        "existence",
        (f"Is there a step {name}?", f"有{name}这一步吗？"),
        yes_no(present),
        boxes.get(name),
    )
    i = rng.randrange(len(chain) - 1)
    sheet.add_bilingual_question(
        "relation",
        (f"What comes just after {chain[i]}?", f"{chain[i]}之后是什么？"),
        same_text(chain[i + 1]),
        boxes[chain[i + 1]],
    )
    i = rng.randrange(1, len(chain))
    sheet.add_bilingual_question(
        "relation",
        (f"What comes just before {chain[i]}?", f"{chain[i]}之前是什么？"),
        same_text(chain[i - 1]),
        boxes[chain[i - 1]],
    )
    if fork:
        sheet.add_bilingual_question(
            "relation",
            (f"What follows when {flow.decision} is yes?", f"{flow.decision}为是时接着是什么？"),
            same_text(steps[2]),
            boxes[steps[2]],
        )
        sheet.add_bilingual_question(
            "relation",
            (f"What follows when {flow.decision} is no?", f"{flow.decision}为否时接着是什么？"),
            same_text(steps[3]),
            boxes[steps[3]],
        )
        sheet.add_bilingual_question(
            "reading",
            ("What does the diamond say?", "菱形里写着什么？"),
            same_text(flow.decision),
            boxes[flow.decision],
        )
    else:
        sheet.add_bilingual_question(
            "reading",
            ("What is the last step?", "最后一步是什么？"),
            same_text(steps[-1]),
            boxes[steps[-1]],
        )
    sheet.add_bilingual_question(
        "reading",
        ("What is the first step?", "第一步是什么？"),
        same_text(steps[0]),
        boxes[steps[0]],
    )
    sheet.add_bilingual_question(
        "reading",
        (
            f"What does the {flow.marked_color} box say?",
            f"{CHINESE[flow.marked_color]}方框里写着什么？",
        ),
        same_text(flow.marked),
        boxes[flow.marked],
    )
    i, j = sorted(rng.sample(range(len(chain)), 2))
    a, b = (chain[i], chain[j]) if rng.random() < 0.5 else (chain[j], chain[i])
    sheet.add_bilingual_question(
        "comparison",
        (f"Which comes first, {a} or {b}?", f"{a}和{b}哪个在先？"),
        same_text(chain[i]),
        boxes[chain[i]],
    )
    sheet.add_location_question(f"the box {step}", f"方框{step}", boxes[step])
    sheet.add_location_question(
        f"the {flow.marked_color} box", f"{CHINESE[flow.marked_color]}方框", boxes[flow.marked]
    )
    sheet.add_unanswerable_question(f"What comes just after {absent}?", f"{absent}之后是什么？")
    sheet.add_unanswerable_question("How long does it take?", "需要多长时间？")
    if not fork:
        sheet.add_unanswerable_question("What does the diamond say?", "菱形里写着什么？")
    sheet.limit_questions(12)
