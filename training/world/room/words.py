"""Captions and questions of a room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sightline.training.world.core.language import (
    CHINESE,
    COLOURS,
    article,
    counted,
    listed,
    listed_zh,
    number_zh,
    plural,
    yes_no,
)
from sightline.training.world.core.picture import Box
from sightline.training.world.core.stage import Stage
from sightline.training.world.room.furniture import PIECES

if TYPE_CHECKING:
    from sightline.training.world.room.scene import Drawn, Item, Plan

ROOMS_ZH = {"living room": "客厅", "kitchen": "厨房", "bedroom": "卧室", "study": "书房"}


def write(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    """Add the captions and questions of a room."""
    _caption(stage, plan)
    _ask_pieces(stage, plan, drawn)
    _ask_order(stage, plan, drawn)
    _ask_room(stage, plan, drawn)


def _name(item: Item) -> str:
    return " ".join(filter(None, (item.colour, item.kind)))


def _name_zh(item: Item) -> str:
    return f"{CHINESE[item.colour] if item.colour else ''}{PIECES[item.kind].zh}"


def _full(item: Item) -> str:
    name = article(_name(item))
    if PIECES[item.kind].switched:
        return f"{name} turned {'on' if item.on else 'off'}"
    return name


def _full_zh(item: Item) -> str:
    if PIECES[item.kind].switched:
        return f"{'开着' if item.on else '关着'}的{_name_zh(item)}"
    return _name_zh(item)


def _caption(stage: Stage, plan: Plan) -> None:
    room_zh, wall_zh = ROOMS_ZH[plan.room], CHINESE[plan.wall]
    names, names_zh = [_full(i) for i in plan.items], [_full_zh(i) for i in plan.items]
    view, view_zh = "", ""
    if plan.windows:
        panes = "a window" if plan.windows == 1 else "two windows"
        view = f", {panes} with {plan.curtains} curtains"
        view_zh = f"，{number_zh(plan.windows)}扇挂着{CHINESE[plan.curtains]}窗帘的窗户"
    stage.caption(
        f"{article(plan.wall)} {plan.room} with {listed(names)}{view}",
        f"{wall_zh}墙的{room_zh}，从左到右是{listed_zh(names_zh)}{view_zh}",
    )
    plain = sorted({_name(i) for i in plan.items})
    few = listed([counted(_many(plan, n), n) for n in plain])
    few_zh = listed_zh(list(dict.fromkeys(_name_zh(i) for i in plan.items)))
    stage.caption(f"{article(plan.room)} with {few}", f"有{few_zh}的{room_zh}")
    first, second = plan.items[0], plan.items[1]
    if first.kind != second.kind:
        stage.caption(
            f"{_full(first)} to the left of {_full(second)} in {article(plan.room)}",
            f"{room_zh}里，{_full_zh(first)}在{_full_zh(second)}的左边",
        )
    stage.caption(
        f"{article(plan.room)} with {plan.wall} walls{view}", f"{wall_zh}墙的{room_zh}{view_zh}"
    )


def _many(plan: Plan, name: str) -> int:
    return sum(_name(i) == name for i in plan.items)


def _ask_pieces(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    rng = stage.rng
    kinds = [i.kind for i in plan.items]
    for item, box in zip(plan.items, drawn.items, strict=True):
        if kinds.count(item.kind) > 1:
            continue
        kind, zh = item.kind, PIECES[item.kind].zh
        if item.colour:
            stage.ask(
                "attribute",
                (f"What colour is the {kind}?", item.colour),
                (f"{zh}是什么颜色？", CHINESE[item.colour]),
                box,
            )
        if PIECES[kind].switched:
            stage.ask(
                "attribute",
                (f"Is the {kind} on or off?", "on" if item.on else "off"),
                (f"{zh}是开着还是关着？", "开着" if item.on else "关着"),
                box,
            )
        stage.ask_where(f"the {_name(item)}", _name_zh(item), box)
    kind = rng.choice([*kinds, "lamp", "chair"])
    many = str(kinds.count(kind))
    stage.ask(
        "count",
        (f"How many {plural(kind)} are there?", many),
        (
            f"有几{'张' if kind in ('table', 'desk', 'bed', 'sofa') else '个'}{PIECES[kind].zh}？",
            many,
        ),
    )
    windows = str(plan.windows)
    stage.ask("count", ("How many windows are there?", windows), ("有几扇窗户？", windows))
    kind = rng.choice(kinds if rng.random() < 0.5 else list(PIECES))
    yes, yes_zh = yes_no(kind in kinds)
    stage.ask(
        "existence",
        (f"Is there a {kind}?", yes),
        (f"有{PIECES[kind].zh}吗？", yes_zh),
    )
    absent = rng.choice([k for k, p in PIECES.items() if k not in kinds and p.painted])
    stage.ask_in_vain(f"What colour is the {absent}?", f"{PIECES[absent].zh}是什么颜色？")


def _ask_order(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    rng = stage.rng
    i = rng.randrange(len(plan.items) - 1)
    a, b = plan.items[i], plan.items[i + 1]
    if a.kind == b.kind:
        return
    kinds = [item.kind for item in plan.items]
    if kinds.count(a.kind) == kinds.count(b.kind) == 1:
        stage.ask(
            "relation",
            (f"What is just left of the {b.kind}?", a.kind),
            (f"紧挨着{PIECES[b.kind].zh}左边的是什么？", PIECES[a.kind].zh),
            drawn.items[i],
        )
        first, second = (a, b) if rng.random() < 0.5 else (b, a)
        yes, yes_zh = yes_no(first is a)
        stage.ask(
            "relation",
            (f"Is the {first.kind} left of the {second.kind}?", yes),
            (f"{PIECES[first.kind].zh}在{PIECES[second.kind].zh}的左边吗？", yes_zh),
        )
    tall = [_height(box) for box in drawn.items]
    if max(tall[i], tall[i + 1]) > 1.25 * min(tall[i], tall[i + 1]):
        higher = a if tall[i] > tall[i + 1] else b
        stage.ask(
            "comparison",
            (f"Which is taller, the {a.kind} or the {b.kind}?", higher.kind),
            (f"{PIECES[a.kind].zh}和{PIECES[b.kind].zh}哪个更高？", PIECES[higher.kind].zh),
        )


def _height(box: Box) -> float:
    return box[3] - box[1]


def _ask_room(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    rng = stage.rng
    stage.ask(
        "attribute", ("What room is this?", plan.room), ("这是什么房间？", ROOMS_ZH[plan.room])
    )
    stage.ask(
        "attribute",
        ("What colour are the walls?", plan.wall),
        ("墙是什么颜色？", CHINESE[plan.wall]),
    )
    curtains = ("What colour are the curtains?", "窗帘是什么颜色？")
    if plan.windows:
        box = drawn.windows[0] if plan.windows == 1 else None
        colour = plan.curtains
        stage.ask("attribute", (curtains[0], colour), (curtains[1], CHINESE[colour]), box)
        outside, outside_zh = ("night", "夜晚") if plan.night else ("day", "白天")
        stage.ask(
            "attribute",
            ("Is it day or night outside?", outside),
            ("外面是白天还是夜晚？", outside_zh),
            box,
        )
        colour = colour if rng.random() < 0.5 else rng.choice(list(COLOURS))
        yes, yes_zh = yes_no(colour == plan.curtains)
        stage.ask(
            "existence",
            (f"Are there {colour} curtains?", yes),
            (f"有{CHINESE[colour]}窗帘吗？", yes_zh),
        )
    else:
        stage.ask_in_vain(*curtains)
    time = ("What time does the clock show?", "时钟显示几点？")
    if drawn.clock:
        stage.ask("reading", (time[0], plan.time), (time[1], plan.time), drawn.clock)
        stage.ask_where("the clock", "时钟", drawn.clock)
    else:
        stage.ask_in_vain(*time)
    if rng.random() < 0.3:
        stage.ask_in_vain("Who lives here?", "谁住在这里？")
