"""Captions and questions of a street."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final

from sightline.training.world.core.clocks import DAYLIGHT
from sightline.training.world.core.language import (
    CHINESE,
    article,
    counted,
    number_zh,
    plural,
    yes_no,
)
from sightline.training.world.core.stage import Stage
from sightline.training.world.street.backdrops import PLACES
from sightline.training.world.street.vehicles import VEHICLES

if TYPE_CHECKING:
    from sightline.training.world.street.scene import Drawn, Group, Plan

RELATIONS: Final = {"left of": "左边", "behind": "后面"}


def clock_time(when: datetime) -> str:
    """Return the time on an analog clock (12 hours), e.g. ``4:05``."""
    return f"{when.hour % 12 or 12}:{when.minute:02d}"


def write(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    """Add the captions and questions of a street."""
    _caption(stage, plan)
    _ask_vehicles(stage, plan, drawn)
    _ask_relation(stage, plan, drawn)
    _ask_time(stage, plan, drawn)
    _ask_in_vain(stage, plan, drawn)


def _phrase(group: Group) -> str:
    return counted(group.count, f"{group.colour} {group.kind}")


def _one(group: Group) -> str:
    return f"{group.colour} {group.kind}"


def _one_zh(group: Group) -> str:
    return f"{CHINESE[group.colour]}{VEHICLES[group.kind][0]}"


def _phrase_zh(group: Group) -> str:
    return f"{number_zh(group.count)}辆{_one_zh(group)}"


def _caption(stage: Stage, plan: Plan) -> None:
    place, place_zh = PLACES[plan.place]
    light_zh, light, _ = DAYLIGHT[plan.daylight]
    at = f"{plan.when.hour}:{plan.when.minute:02d}"
    names = [_phrase(g) for g in plan.groups]
    names_zh = [_phrase_zh(g) for g in plan.groups]
    listing, listing_zh = " and ".join(names), "和".join(names_zh)
    exact, exact_zh = listing, listing_zh
    if plan.relation == "left of":
        exact = f"{names[0]} to the left of {names[1]},"
        exact_zh = f"{names_zh[0]}在{names_zh[1]}的左边，"
    elif plan.relation == "behind":
        exact = f"{names[0]} behind {names[1]},"
        exact_zh = f"{names_zh[0]}在{names_zh[1]}的后面，"
    stage.caption(
        f"{exact} parked {place} {light} at {at}", f"{exact_zh}停在{place_zh}，{light_zh}{at}"
    )
    stage.caption(f"{listing} {place} {light}", f"{light_zh}，{place_zh}有{listing_zh}")
    stage.caption(f"{listing} parked {place}", f"{listing_zh}停在{place_zh}")
    stage.caption(f"{listing} parked at {at}", f"{at}停着{listing_zh}")
    if plan.when.hour != 17:
        early = plan.when.hour < 17
        stage.caption(
            f"{listing} parked {'before' if early else 'after'} 5 pm",
            f"{'下午五点前' if early else '下午五点后'}停着的{listing_zh}",
        )


def _ask_vehicles(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    rng = stage.rng
    total = sum(g.count for g in plan.groups)
    kinds = [g.kind for g in plan.groups]
    stage.ask("count", ("How many vehicles are there?", str(total)), ("有几辆车？", str(total)))
    kind = rng.choice(kinds)
    many = sum(g.count for g in plan.groups if g.kind == kind)
    stage.ask(
        "count",
        (f"How many {plural(kind)} are there?", str(many)),
        (f"有几辆{VEHICLES[kind][0]}？", str(many)),
    )
    for group, outlines in zip(plan.groups, drawn.outlines, strict=True):
        area = outlines[0] if group.count == 1 else None
        if kinds.count(group.kind) == 1:
            noun = plural(group.kind, group.count)
            verb = "is" if group.count == 1 else "are"
            stage.ask(
                "attribute",
                (f"What colour {verb} the {noun}?", group.colour),
                (f"{VEHICLES[group.kind][0]}是什么颜色？", CHINESE[group.colour]),
                area,
            )
        if area:
            stage.ask(
                "attribute",
                (f"What kind of vehicle is {group.colour}?", group.kind),
                (f"{CHINESE[group.colour]}的是什么车？", VEHICLES[group.kind][0]),
                area,
            )
            stage.ask_where(f"the {_one(group)}", _one_zh(group), area)
    group = rng.choice(plan.groups)
    kind, colour = group.kind, group.colour
    if rng.random() < 0.5:
        kind = rng.choice(list(VEHICLES))
    if rng.random() < 0.3:
        colour = rng.choice(["red", "blue", "white", "black", "green", "yellow"])
    yes, yes_zh = yes_no(any((g.kind, g.colour) == (kind, colour) for g in plan.groups))
    stage.ask(
        "existence",
        (f"Is there {article(f'{colour} {kind}')}?", yes),
        (f"有{CHINESE[colour]}{VEHICLES[kind][0]}吗？", yes_zh),
    )


def _ask_relation(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    if not plan.relation:
        return
    first, second = plan.groups
    zh = RELATIONS[plan.relation]
    if first.count == second.count == 1:
        stage.ask(
            "relation",
            (f"What is {plan.relation} the {_one(second)}?", _one(first)),
            (f"{_one_zh(second)}的{zh}是什么？", _one_zh(first)),
            drawn.outlines[0][0],
        )
        a, b = (first, second) if stage.rng.random() < 0.5 else (second, first)
        yes, yes_zh = yes_no(a is first)
        stage.ask(
            "relation",
            (f"Is the {_one(a)} {plan.relation} the {_one(b)}?", yes),
            (f"{_one_zh(a)}在{_one_zh(b)}的{zh}吗？", yes_zh),
        )
    elif first.count != second.count:
        a, b = (first, second) if stage.rng.random() < 0.5 else (second, first)
        yes, yes_zh = yes_no(a.count > b.count)
        two = [plural(g.kind) for g in (a, b)]
        if a.kind != b.kind:
            stage.ask(
                "comparison",
                (f"Are there more {two[0]} than {two[1]}?", yes),
                (f"{VEHICLES[a.kind][0]}比{VEHICLES[b.kind][0]}多吗？", yes_zh),
            )


def _ask_time(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    light_zh = DAYLIGHT[plan.daylight][0]
    stage.ask(
        "attribute",
        ("Is it day, evening or night?", plan.daylight),
        ("现在是白天、傍晚还是夜晚？", light_zh),
    )
    shown = ("What time is shown?", "图中显示几点？")
    if drawn.stamp:
        text, box = drawn.stamp
        at = text[-5:]
        stage.ask("reading", (shown[0], at), (shown[1], at), box)
        day = text[:10]
        date = ("What is the date on the picture?", "图上的日期是什么？")
        stage.ask("reading", (date[0], day), (date[1], day), box)
    elif drawn.clock:
        at = clock_time(plan.when)
        stage.ask("reading", (shown[0], at), (shown[1], at), around_clock(drawn))
        stage.ask_where("the clock", "时钟", around_clock(drawn))
    else:
        stage.ask_in_vain(*shown)
    if drawn.stamp or drawn.clock:
        hour = stage.rng.choice([8, 12, 15, 17, 20])
        minutes = plan.when.hour * 60 + plan.when.minute
        if abs(minutes - hour * 60) >= 30:
            yes, yes_zh = yes_no(minutes < hour * 60)
            stage.ask(
                "comparison",
                (f"Is it before {hour}:00?", yes),
                (f"现在早于{hour}点吗？", yes_zh),
            )
    if drawn.sign:
        text, box = drawn.sign
        stage.ask("reading", ("What does the sign say?", text), ("招牌上写着什么？", text), box)


def around_clock(drawn: Drawn) -> tuple[float, float, float, float]:
    """Return the box of the clock; requires that a clock was drawn."""
    assert drawn.clock is not None  # noqa: S101 (checked by the caller)
    return drawn.clock


def _ask_in_vain(stage: Stage, plan: Plan, drawn: Drawn) -> None:
    rng = stage.rng
    kinds = {g.kind for g in plan.groups}
    absent = rng.choice([k for k in VEHICLES if k not in kinds])
    stage.ask_in_vain(f"What colour is the {absent}?", f"{VEHICLES[absent][0]}是什么颜色？")
    kind = plan.groups[0].kind
    stage.ask_in_vain(
        *rng.choice(
            [
                (f"Who owns the {kind}?", f"{VEHICLES[kind][0]}是谁的？"),
                (
                    f"What is the number plate of the {kind}?",
                    f"{VEHICLES[kind][0]}的车牌号是多少？",
                ),
                ("What is the name of the street?", "这条街叫什么名字？"),
            ]
        )
    )
    if not drawn.sign:
        stage.ask_in_vain("What does the sign say?", "招牌上写着什么？")
