"""Captions and questions of a room."""

from __future__ import annotations

from sightline.training.world.core.builder import SceneBuilder
from sightline.training.world.core.language import (
    CHINESE,
    COLORS,
    article,
    count_phrase,
    join_list,
    join_list_zh,
    number_word_zh,
    plural,
    yes_no,
)
from sightline.training.world.core.scene import Box
from sightline.training.world.room.furniture import PIECES
from sightline.training.world.room.plan import DrawnAreas, Item, Plan

ROOMS_ZH = {"living room": "客厅", "kitchen": "厨房", "bedroom": "卧室", "study": "书房"}


def add_captions_and_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    """Add the captions and questions of a room."""
    _add_captions(builder, plan)
    _add_furniture_questions(builder, plan, drawn)
    _add_order_questions(builder, plan, drawn)
    _add_room_questions(builder, plan, drawn)


def _name(item: Item) -> str:
    return " ".join(filter(None, (item.color, item.kind)))


def _name_zh(item: Item) -> str:
    return f"{CHINESE[item.color] if item.color else ''}{PIECES[item.kind].zh}"


def _full(item: Item) -> str:
    name = article(_name(item))
    if PIECES[item.kind].switched:
        return f"{name} turned {'on' if item.on else 'off'}"
    return name


def _full_zh(item: Item) -> str:
    if PIECES[item.kind].switched:
        return f"{'开着' if item.on else '关着'}的{_name_zh(item)}"
    return _name_zh(item)


def _add_captions(builder: SceneBuilder, plan: Plan) -> None:
    room_zh, wall_zh = ROOMS_ZH[plan.room], CHINESE[plan.wall]
    names, names_zh = [_full(i) for i in plan.items], [_full_zh(i) for i in plan.items]
    view, view_zh = "", ""
    if plan.windows:
        panes = "a window" if plan.windows == 1 else "two windows"
        view = f", {panes} with {plan.curtains} curtains"
        view_zh = f"，{number_word_zh(plan.windows)}扇挂着{CHINESE[plan.curtains]}窗帘的窗户"
    builder.add_caption(
        f"{article(plan.wall)} {plan.room} with {join_list(names)}{view}",
        f"{wall_zh}墙的{room_zh}，从左到右是{join_list_zh(names_zh)}{view_zh}",
    )
    plain = sorted({_name(i) for i in plan.items})
    few = join_list([count_phrase(_many(plan, n), n) for n in plain])
    few_zh = join_list_zh(list(dict.fromkeys(_name_zh(i) for i in plan.items)))
    builder.add_caption(f"{article(plan.room)} with {few}", f"有{few_zh}的{room_zh}")
    first, second = plan.items[0], plan.items[1]
    if first.kind != second.kind:
        builder.add_caption(
            f"{_full(first)} to the left of {_full(second)} in {article(plan.room)}",
            f"{room_zh}里，{_full_zh(first)}在{_full_zh(second)}的左边",
        )
    builder.add_caption(
        f"{article(plan.room)} with {plan.wall} walls{view}", f"{wall_zh}墙的{room_zh}{view_zh}"
    )


def _many(plan: Plan, name: str) -> int:
    return sum(_name(i) == name for i in plan.items)


def _add_furniture_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    rng = builder.rng
    kinds = [i.kind for i in plan.items]
    for item, box in zip(plan.items, drawn.items, strict=True):
        if kinds.count(item.kind) > 1:
            continue
        kind, zh = item.kind, PIECES[item.kind].zh
        if item.color:
            builder.add_question(
                "attribute",
                (f"What colour is the {kind}?", item.color),
                (f"{zh}是什么颜色？", CHINESE[item.color]),
                box,
            )
        if PIECES[kind].switched:
            builder.add_question(
                "attribute",
                (f"Is the {kind} on or off?", "on" if item.on else "off"),
                (f"{zh}是开着还是关着？", "开着" if item.on else "关着"),
                box,
            )
        builder.add_location_question(f"the {_name(item)}", _name_zh(item), box)
    kind = rng.choice([*kinds, "lamp", "chair"])
    many = str(kinds.count(kind))
    builder.add_question(
        "count",
        (f"How many {plural(kind)} are there?", many),
        (
            f"有几{'张' if kind in ('table', 'desk', 'bed', 'sofa') else '个'}{PIECES[kind].zh}？",
            many,
        ),
    )
    windows = str(plan.windows)
    builder.add_question(
        "count", ("How many windows are there?", windows), ("有几扇窗户？", windows)
    )
    kind = rng.choice(kinds if rng.random() < 0.5 else list(PIECES))
    yes, yes_zh = yes_no(kind in kinds)
    builder.add_question(
        "existence",
        (f"Is there a {kind}?", yes),
        (f"有{PIECES[kind].zh}吗？", yes_zh),
    )
    absent = rng.choice([k for k, p in PIECES.items() if k not in kinds and p.painted])
    builder.add_unanswerable_question(
        f"What colour is the {absent}?", f"{PIECES[absent].zh}是什么颜色？"
    )


def _add_order_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    rng = builder.rng
    i = rng.randrange(len(plan.items) - 1)
    a, b = plan.items[i], plan.items[i + 1]
    if a.kind == b.kind:
        return
    kinds = [item.kind for item in plan.items]
    if kinds.count(a.kind) == kinds.count(b.kind) == 1:
        builder.add_question(
            "relation",
            (f"What is just left of the {b.kind}?", a.kind),
            (f"紧挨着{PIECES[b.kind].zh}左边的是什么？", PIECES[a.kind].zh),
            drawn.items[i],
        )
        first, second = (a, b) if rng.random() < 0.5 else (b, a)
        yes, yes_zh = yes_no(first is a)
        builder.add_question(
            "relation",
            (f"Is the {first.kind} left of the {second.kind}?", yes),
            (f"{PIECES[first.kind].zh}在{PIECES[second.kind].zh}的左边吗？", yes_zh),
        )
    tall = [_height(box) for box in drawn.items]
    if max(tall[i], tall[i + 1]) > 1.25 * min(tall[i], tall[i + 1]):
        higher = a if tall[i] > tall[i + 1] else b
        builder.add_question(
            "comparison",
            (f"Which is taller, the {a.kind} or the {b.kind}?", higher.kind),
            (f"{PIECES[a.kind].zh}和{PIECES[b.kind].zh}哪个更高？", PIECES[higher.kind].zh),
        )


def _height(box: Box) -> float:
    return box[3] - box[1]


def _add_room_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    rng = builder.rng
    builder.add_question(
        "attribute", ("What room is this?", plan.room), ("这是什么房间？", ROOMS_ZH[plan.room])
    )
    builder.add_question(
        "attribute",
        ("What colour are the walls?", plan.wall),
        ("墙是什么颜色？", CHINESE[plan.wall]),
    )
    curtains = ("What colour are the curtains?", "窗帘是什么颜色？")
    if plan.windows:
        box = drawn.windows[0] if plan.windows == 1 else None
        color = plan.curtains
        builder.add_question("attribute", (curtains[0], color), (curtains[1], CHINESE[color]), box)
        outside, outside_zh = ("night", "夜晚") if plan.night else ("day", "白天")
        builder.add_question(
            "attribute",
            ("Is it day or night outside?", outside),
            ("外面是白天还是夜晚？", outside_zh),
            box,
        )
        color = color if rng.random() < 0.5 else rng.choice(list(COLORS))
        yes, yes_zh = yes_no(color == plan.curtains)
        builder.add_question(
            "existence",
            (f"Are there {color} curtains?", yes),
            (f"有{CHINESE[color]}窗帘吗？", yes_zh),
        )
    else:
        builder.add_unanswerable_question(*curtains)
    time = ("What time does the clock show?", "时钟显示几点？")
    if drawn.clock:
        builder.add_question("reading", (time[0], plan.time), (time[1], plan.time), drawn.clock)
        builder.add_location_question("the clock", "时钟", drawn.clock)
    else:
        builder.add_unanswerable_question(*time)
    if rng.random() < 0.3:
        builder.add_unanswerable_question("Who lives here?", "谁住在这里？")
