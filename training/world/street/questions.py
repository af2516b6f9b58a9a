"""Captions and questions of a street."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from sightline.training.world.core.builder import SceneBuilder
from sightline.training.world.core.clocks import DAYLIGHT
from sightline.training.world.core.language import (
    CHINESE,
    article,
    count_phrase,
    number_word_zh,
    plural,
    yes_no,
)
from sightline.training.world.street.backdrops import PLACES
from sightline.training.world.street.plan import DrawnAreas, Group, Plan
from sightline.training.world.street.vehicles import VEHICLES

RELATIONS: Final = {"left of": "左边", "behind": "后面"}


def clock_time(when: datetime) -> str:
    """Return the time on an analog clock (12 hours), e.g. ``4:05``."""
    return f"{when.hour % 12 or 12}:{when.minute:02d}"


def add_captions_and_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    """Add the captions and questions of a street."""
    _add_captions(builder, plan)
    _add_vehicle_questions(builder, plan, drawn)
    _add_relation_questions(builder, plan, drawn)
    _add_time_questions(builder, plan, drawn)
    _add_unanswerable_questions(builder, plan, drawn)


def _phrase(group: Group) -> str:
    return count_phrase(group.count, f"{group.color} {group.kind}")


def _one(group: Group) -> str:
    return f"{group.color} {group.kind}"


def _one_zh(group: Group) -> str:
    return f"{CHINESE[group.color]}{VEHICLES[group.kind][0]}"


def _phrase_zh(group: Group) -> str:
    return f"{number_word_zh(group.count)}辆{_one_zh(group)}"


def _add_captions(builder: SceneBuilder, plan: Plan) -> None:
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
    builder.add_caption(
        f"{exact} parked {place} {light} at {at}", f"{exact_zh}停在{place_zh}，{light_zh}{at}"
    )
    builder.add_caption(f"{listing} {place} {light}", f"{light_zh}，{place_zh}有{listing_zh}")
    builder.add_caption(f"{listing} parked {place}", f"{listing_zh}停在{place_zh}")
    builder.add_caption(f"{listing} parked at {at}", f"{at}停着{listing_zh}")
    if plan.when.hour != 17:
        early = plan.when.hour < 17
        builder.add_caption(
            f"{listing} parked {'before' if early else 'after'} 5 pm",
            f"{'下午五点前' if early else '下午五点后'}停着的{listing_zh}",
        )


def _add_vehicle_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    rng = builder.rng
    total = sum(g.count for g in plan.groups)
    kinds = [g.kind for g in plan.groups]
    builder.add_question(
        "count", ("How many vehicles are there?", str(total)), ("有几辆车？", str(total))
    )
    kind = rng.choice(kinds)
    many = sum(g.count for g in plan.groups if g.kind == kind)
    builder.add_question(
        "count",
        (f"How many {plural(kind)} are there?", str(many)),
        (f"有几辆{VEHICLES[kind][0]}？", str(many)),
    )
    for group, outlines in zip(plan.groups, drawn.outlines, strict=True):
        area = outlines[0] if group.count == 1 else None
        if kinds.count(group.kind) == 1:
            noun = plural(group.kind, group.count)
            verb = "is" if group.count == 1 else "are"
            builder.add_question(
                "attribute",
                (f"What colour {verb} the {noun}?", group.color),
                (f"{VEHICLES[group.kind][0]}是什么颜色？", CHINESE[group.color]),
                area,
            )
        if area:
            builder.add_question(
                "attribute",
                (f"What kind of vehicle is {group.color}?", group.kind),
                (f"{CHINESE[group.color]}的是什么车？", VEHICLES[group.kind][0]),
                area,
            )
            builder.add_location_question(f"the {_one(group)}", _one_zh(group), area)
    group = rng.choice(plan.groups)
    kind, color = group.kind, group.color
    if rng.random() < 0.5:
        kind = rng.choice(list(VEHICLES))
    if rng.random() < 0.3:
        color = rng.choice(["red", "blue", "white", "black", "green", "yellow"])
    yes, yes_zh = yes_no(any((g.kind, g.color) == (kind, color) for g in plan.groups))
    builder.add_question(
        "existence",
        (f"Is there {article(f'{color} {kind}')}?", yes),
        (f"有{CHINESE[color]}{VEHICLES[kind][0]}吗？", yes_zh),
    )


def _add_relation_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    if not plan.relation:
        return
    first, second = plan.groups
    zh = RELATIONS[plan.relation]
    if first.count == second.count == 1:
        builder.add_question(
            "relation",
            (f"What is {plan.relation} the {_one(second)}?", _one(first)),
            (f"{_one_zh(second)}的{zh}是什么？", _one_zh(first)),
            drawn.outlines[0][0],
        )
        a, b = (first, second) if builder.rng.random() < 0.5 else (second, first)
        yes, yes_zh = yes_no(a is first)
        builder.add_question(
            "relation",
            (f"Is the {_one(a)} {plan.relation} the {_one(b)}?", yes),
            (f"{_one_zh(a)}在{_one_zh(b)}的{zh}吗？", yes_zh),
        )
    elif first.count != second.count:
        a, b = (first, second) if builder.rng.random() < 0.5 else (second, first)
        yes, yes_zh = yes_no(a.count > b.count)
        two = [plural(g.kind) for g in (a, b)]
        if a.kind != b.kind:
            builder.add_question(
                "comparison",
                (f"Are there more {two[0]} than {two[1]}?", yes),
                (f"{VEHICLES[a.kind][0]}比{VEHICLES[b.kind][0]}多吗？", yes_zh),
            )


def _add_time_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    light_zh = DAYLIGHT[plan.daylight][0]
    builder.add_question(
        "attribute",
        ("Is it day, evening or night?", plan.daylight),
        ("现在是白天、傍晚还是夜晚？", light_zh),
    )
    time_question = ("What time is shown?", "图中显示几点？")
    if drawn.timestamp:
        text, box = drawn.timestamp
        at = text[-5:]
        builder.add_question("reading", (time_question[0], at), (time_question[1], at), box)
        day = text[:10]
        date = ("What is the date on the picture?", "图上的日期是什么？")
        builder.add_question("reading", (date[0], day), (date[1], day), box)
    elif drawn.clock:
        at = clock_time(plan.when)
        builder.add_question(
            "reading", (time_question[0], at), (time_question[1], at), _clock_box(drawn)
        )
        builder.add_location_question("the clock", "时钟", _clock_box(drawn))
    else:
        builder.add_unanswerable_question(*time_question)
    if drawn.timestamp or drawn.clock:
        hour = builder.rng.choice([8, 12, 15, 17, 20])
        minutes = plan.when.hour * 60 + plan.when.minute
        if abs(minutes - hour * 60) >= 30:
            yes, yes_zh = yes_no(minutes < hour * 60)
            builder.add_question(
                "comparison",
                (f"Is it before {hour}:00?", yes),
                (f"现在早于{hour}点吗？", yes_zh),
            )
    if drawn.sign:
        text, box = drawn.sign
        builder.add_question(
            "reading", ("What does the sign say?", text), ("招牌上写着什么？", text), box
        )


def _clock_box(drawn: DrawnAreas) -> tuple[float, float, float, float]:
    """Return the box of the clock; requires that a clock was drawn."""
    assert drawn.clock is not None  # noqa: S101 (checked by the caller)
    return drawn.clock


def _add_unanswerable_questions(builder: SceneBuilder, plan: Plan, drawn: DrawnAreas) -> None:
    rng = builder.rng
    kinds = {g.kind for g in plan.groups}
    absent = rng.choice([k for k in VEHICLES if k not in kinds])
    builder.add_unanswerable_question(
        f"What colour is the {absent}?", f"{VEHICLES[absent][0]}是什么颜色？"
    )
    kind = plan.groups[0].kind
    builder.add_unanswerable_question(
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
        builder.add_unanswerable_question("What does the sign say?", "招牌上写着什么？")
