"""Charts: bar, row, line, pie and ring, with title, categories and values."""

from __future__ import annotations

import random

from sightline.training.world.chart.art import (
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
from sightline.training.world.core.language import CHINESE, yes_no
from sightline.training.world.core.picture import Box, Picture, Split
from sightline.training.world.core.sheet import PENS, Sheet, Words, same
from sightline.training.world.core.splits import choose
from sightline.training.world.core.stage import Area


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw a chart with captions and questions."""
    chart, unseen = choose(rng, split, lambda: _invent(rng), lambda c: c.combinations)
    sheet = Sheet("chart", rng, seed, split, rng.choice(SIZES), chart.surface)
    boxes, title = paint(sheet, chart)
    _caption(sheet, chart)
    _ask(sheet, chart, boxes, title)
    return sheet.photograph(chart.combinations, unseen)


def _invent(rng: random.Random) -> Chart:
    kind = rng.choice(tuple(KINDS))
    axis = rng.choice(AXES)
    count = rng.randint(3, min(len(axis), 5 if kind in ROUND else 6))
    start = rng.randint(0, len(axis) - count)
    names = axis[start : start + count]
    if kind in ROUND:
        values = _shares(rng, count)
        colours = tuple(rng.sample(PENS, count))
    else:
        values = tuple(5 * v for v in rng.sample(range(2, 20), count))
        pens = [p for p in PENS if p != "yellow"]
        mixed = kind != "line" and rng.random() < 0.3
        colours = tuple(rng.sample(pens, min(count, 5)))
        colours = (colours + colours[:1])[:count] if mixed else (colours[0],) * count
    return Chart(kind, rng.choice(TITLES), names, values, colours, rng.choice(SURFACES))


def _shares(rng: random.Random, count: int) -> tuple[int, ...]:
    """Sample ``count`` different multiples of 5 (at least 10) with sum 100."""
    while True:
        cuts = sorted(rng.sample(range(1, 20), count - 1))
        parts = [5 * (b - a) for a, b in zip([0, *cuts], [*cuts, 20], strict=True)]
        if min(parts) >= 10 and len(set(parts)) == count:
            return tuple(parts)


def _caption(sheet: Sheet, chart: Chart) -> None:
    kind, surface = KINDS[chart.kind], chart.surface.name
    high, low = max(chart.values), min(chart.values)
    parts = list(zip(chart.names, chart.values, chart.colours, strict=True))
    if chart.kind in ROUND:
        every: Words = (
            ", ".join(f"{c} {n} {v}" for n, v, c in parts),
            "、".join(f"{CHINESE[c]}{n} {v}" for n, v, c in parts),
        )
    else:
        tint = ("", "") if chart.mixed else (chart.colours[0], CHINESE[chart.colours[0]])
        every = (
            f"{len(parts)} {tint[0]} {MARKS[chart.kind][0]}s".replace("  ", " ")
            + f", {chart.names[0]} to {chart.names[-1]}, {chart.largest} largest at {high}, "
            f"{chart.smallest} smallest at {low}",
            (
                f"{len(parts)}个{tint[1]}{MARKS[chart.kind][1]}，从{chart.names[0]}到"
                f"{chart.names[-1]}，{chart.largest}最大为{high}，{chart.smallest}最小为{low}"
            ),
        )
    sheet.caption(
        f"{chart.title}: {kind[0]} on {surface[0]}, {every[0]}",
        f"{surface[1]}上的{kind[1]}{chart.title}：{every[1]}",
    )
    sheet.caption(
        f"a {kind[0]} of {chart.title} where {chart.largest} is largest with {high}",
        f"{chart.title}的{kind[1]}，{chart.largest}最大，为{high}",
    )
    sheet.caption(
        f"{chart.title} by {', '.join(chart.names)}, as a {kind[0]}",
        f"按{'、'.join(chart.names)}显示{chart.title}的{kind[1]}",
    )
    sheet.caption(
        f"a {kind[0]} with {len(parts)} categories on {surface[0]}",
        f"{surface[1]}上有{len(parts)}个类别的{kind[1]}",
    )


def _ask(sheet: Sheet, chart: Chart, boxes: list[Area], title: Box) -> None:
    rng, names, values = sheet.rng, chart.names, chart.values
    kind, mark = KINDS[chart.kind], MARKS[chart.kind]
    at = dict(zip(names, boxes, strict=True))
    value = dict(zip(names, values, strict=True))
    a, b = rng.sample(names, 2)
    absent = rng.choice([n for axis in AXES for n in axis if n not in names])
    sheet.pose("attribute", ("What kind of chart is this?", "这是什么图？"), kind)
    i = rng.randrange(len(names))
    sheet.pose(
        "attribute",
        (f"What colour is {names[i]}?", f"{names[i]}是什么颜色？"),
        (chart.colours[i], CHINESE[chart.colours[i]]),
        boxes[i],
    )
    sheet.pose("attribute", ("What is it drawn on?", "画在什么上面？"), chart.surface.name)
    sheet.pose(
        "count", (f"How many {mark[0]}s are there?", f"有多少个{mark[1]}？"), same(len(names))
    )
    there = rng.random() < 0.5
    name = rng.choice(names) if there else absent
    sheet.pose(
        "existence",
        (f"Is there a {mark[0]} for {name}?", f"有{name}的{mark[1]}吗？"),
        yes_no(there),
        at.get(name),
    )
    sheet.pose("reading", ("What is the title?", "标题是什么？"), same(chart.title), title)
    sheet.pose(
        "reading", (f"What is the value of {a}?", f"{a}的数值是多少？"), same(value[a]), at[a]
    )
    sheet.pose(
        "comparison",
        ("Which is the largest?", "哪个最大？"),
        same(chart.largest),
        at[chart.largest],
    )
    sheet.pose(
        "comparison",
        ("Which is the smallest?", "哪个最小？"),
        same(chart.smallest),
        at[chart.smallest],
    )
    more = a if value[a] > value[b] else b
    sheet.pose(
        "comparison", (f"Which is larger, {a} or {b}?", f"{a}和{b}哪个更大？"), same(more), at[more]
    )
    i = rng.randrange(len(names) - 1)
    after, before = names[i + 1], names[i]
    if chart.kind in ROUND:
        sheet.pose(
            "relation",
            (f"What is next clockwise after {before}?", f"{before}顺时针的下一个是什么？"),
            same(after),
            at[after],
        )
    elif chart.kind == "row":
        sheet.pose(
            "relation",
            (f"What is just below {before}?", f"{before}的正下方是什么？"),
            same(after),
            at[after],
        )
    else:
        sheet.pose(
            "relation",
            (f"What is just right of {before}?", f"{before}的右边紧挨着什么？"),
            same(after),
            at[after],
        )
    sheet.ask_where(f"the {mark[0]} of {a}", f"{a}的{mark[1]}", at[a])
    sheet.ask_where("the title", "标题", title)
    sheet.ask_in_vain(f"What is the value of {absent}?", f"{absent}的数值是多少？")
    sheet.ask_in_vain("Who made this chart?", "这张图是谁做的？")
    sheet.keep(11)
