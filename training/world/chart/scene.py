"""Charts: bar, row, line, pie and ring, with title, categories and values."""

from __future__ import annotations

import random

from sightline.training.world.chart.drawing import (
    AXES,
    KINDS,
    MARKS,
    ROUND,
    SIZES,
    SURFACES,
    TITLES,
    Chart,
    paint,
)
from sightline.training.world.core.builder import Area
from sightline.training.world.core.language import CHINESE, yes_no
from sightline.training.world.core.scene import Box, Scene, Split
from sightline.training.world.core.sheet import PENS, BilingualText, Sheet, same_text
from sightline.training.world.core.splits import sample_attributes


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw a chart with captions and questions."""
    chart, unseen = sample_attributes(rng, split, lambda: _sample(rng), lambda c: c.combinations)
    sheet = Sheet("chart", rng, seed, split, rng.choice(SIZES), chart.surface)
    boxes, title = paint(sheet, chart)
    _add_captions(sheet, chart)
    _add_questions(sheet, chart, boxes, title)
    return sheet.render_sheet(chart.combinations, unseen)


def _sample(rng: random.Random) -> Chart:
    kind = rng.choice(tuple(KINDS))
    axis = rng.choice(AXES)
    count = rng.randint(3, min(len(axis), 5 if kind in ROUND else 6))
    start = rng.randint(0, len(axis) - count)
    names = axis[start : start + count]
    if kind in ROUND:
        values = _shares(rng, count)
        colors = tuple(rng.sample(PENS, count))
    else:
        values = tuple(5 * v for v in rng.sample(range(2, 20), count))
        pens = [p for p in PENS if p != "yellow"]
        mixed = kind != "line" and rng.random() < 0.3
        colors = tuple(rng.sample(pens, min(count, 5)))
        colors = (colors + colors[:1])[:count] if mixed else (colors[0],) * count
    return Chart(kind, rng.choice(TITLES), names, values, colors, rng.choice(SURFACES))


def _shares(rng: random.Random, count: int) -> tuple[int, ...]:
    """Sample ``count`` different multiples of 5 (at least 10) with sum 100."""
    while True:
        cuts = sorted(rng.sample(range(1, 20), count - 1))
        parts = [5 * (b - a) for a, b in zip([0, *cuts], [*cuts, 20], strict=True)]
        if min(parts) >= 10 and len(set(parts)) == count:
            return tuple(parts)


def _add_captions(sheet: Sheet, chart: Chart) -> None:
    kind, surface = KINDS[chart.kind], chart.surface.name
    high, low = max(chart.values), min(chart.values)
    parts = list(zip(chart.names, chart.values, chart.colors, strict=True))
    if chart.kind in ROUND:
        every: BilingualText = (
            ", ".join(f"{c} {n} {v}" for n, v, c in parts),
            "、".join(f"{CHINESE[c]}{n} {v}" for n, v, c in parts),
        )
    else:
        tint = ("", "") if chart.mixed else (chart.colors[0], CHINESE[chart.colors[0]])
        every = (
            f"{len(parts)} {tint[0]} {MARKS[chart.kind][0]}s".replace("  ", " ")
            + f", {chart.names[0]} to {chart.names[-1]}, {chart.largest} largest at {high}, "
            f"{chart.smallest} smallest at {low}",
            (
                f"{len(parts)}个{tint[1]}{MARKS[chart.kind][1]}，从{chart.names[0]}到"
                f"{chart.names[-1]}，{chart.largest}最大为{high}，{chart.smallest}最小为{low}"
            ),
        )
    sheet.add_caption(
        f"{chart.title}: {kind[0]} on {surface[0]}, {every[0]}",
        f"{surface[1]}上的{kind[1]}{chart.title}：{every[1]}",
    )
    sheet.add_caption(
        f"a {kind[0]} of {chart.title} where {chart.largest} is largest with {high}",
        f"{chart.title}的{kind[1]}，{chart.largest}最大，为{high}",
    )
    sheet.add_caption(
        f"{chart.title} by {', '.join(chart.names)}, as a {kind[0]}",
        f"按{'、'.join(chart.names)}显示{chart.title}的{kind[1]}",
    )
    sheet.add_caption(
        f"a {kind[0]} with {len(parts)} categories on {surface[0]}",
        f"{surface[1]}上有{len(parts)}个类别的{kind[1]}",
    )


def _add_questions(sheet: Sheet, chart: Chart, boxes: list[Area], title: Box) -> None:
    rng, names, values = sheet.rng, chart.names, chart.values
    kind, mark = KINDS[chart.kind], MARKS[chart.kind]
    at = dict(zip(names, boxes, strict=True))
    value = dict(zip(names, values, strict=True))
    a, b = rng.sample(names, 2)
    absent = rng.choice([n for axis in AXES for n in axis if n not in names])
    sheet.add_bilingual_question("attribute", ("What kind of chart is this?", "这是什么图？"), kind)
    i = rng.randrange(len(names))
    sheet.add_bilingual_question(
        "attribute",
        (f"What colour is {names[i]}?", f"{names[i]}是什么颜色？"),
        (chart.colors[i], CHINESE[chart.colors[i]]),
        boxes[i],
    )
    sheet.add_bilingual_question(
        "attribute", ("What is it drawn on?", "画在什么上面？"), chart.surface.name
    )
    sheet.add_bilingual_question(
        "count", (f"How many {mark[0]}s are there?", f"有多少个{mark[1]}？"), same_text(len(names))
    )
    present = rng.random() < 0.5
    name = rng.choice(names) if present else absent
    sheet.add_bilingual_question(
        "existence",
        (f"Is there a {mark[0]} for {name}?", f"有{name}的{mark[1]}吗？"),
        yes_no(present),
        at.get(name),
    )
    sheet.add_bilingual_question(
        "reading", ("What is the title?", "标题是什么？"), same_text(chart.title), title
    )
    sheet.add_bilingual_question(
        "reading", (f"What is the value of {a}?", f"{a}的数值是多少？"), same_text(value[a]), at[a]
    )
    sheet.add_bilingual_question(
        "comparison",
        ("Which is the largest?", "哪个最大？"),
        same_text(chart.largest),
        at[chart.largest],
    )
    sheet.add_bilingual_question(
        "comparison",
        ("Which is the smallest?", "哪个最小？"),
        same_text(chart.smallest),
        at[chart.smallest],
    )
    more = a if value[a] > value[b] else b
    sheet.add_bilingual_question(
        "comparison",
        (f"Which is larger, {a} or {b}?", f"{a}和{b}哪个更大？"),
        same_text(more),
        at[more],
    )
    i = rng.randrange(len(names) - 1)
    after, before = names[i + 1], names[i]
    if chart.kind in ROUND:
        sheet.add_bilingual_question(
            "relation",
            (f"What is next clockwise after {before}?", f"{before}顺时针的下一个是什么？"),
            same_text(after),
            at[after],
        )
    elif chart.kind == "row":
        sheet.add_bilingual_question(
            "relation",
            (f"What is just below {before}?", f"{before}的正下方是什么？"),
            same_text(after),
            at[after],
        )
    else:
        sheet.add_bilingual_question(
            "relation",
            (f"What is just right of {before}?", f"{before}的右边紧挨着什么？"),
            same_text(after),
            at[after],
        )
    sheet.add_location_question(f"the {mark[0]} of {a}", f"{a}的{mark[1]}", at[a])
    sheet.add_location_question("the title", "标题", title)
    sheet.add_unanswerable_question(f"What is the value of {absent}?", f"{absent}的数值是多少？")
    sheet.add_unanswerable_question("Who made this chart?", "这张图是谁做的？")
    sheet.limit_questions(11)
