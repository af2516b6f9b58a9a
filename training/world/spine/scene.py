"""X-rays of the lumbar spine: L1 to L5 with labels, at most one abnormal vertebra.

The findings are schematic drawings, not realistic medical findings.
"""

from __future__ import annotations

import random

from sightline.training.world.core.camera import Point
from sightline.training.world.core.language import yes_no
from sightline.training.world.core.picture import Box, Picture, Split
from sightline.training.world.core.sheet import Sheet, Words, same
from sightline.training.world.core.splits import choose
from sightline.training.world.spine.art import (
    CURVES,
    FILMS,
    FINDINGS,
    RANGES,
    SIDES,
    SIZES,
    VIEWS,
    Film,
    expose,
)


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw a spine X-ray with captions and questions."""
    film, unseen = choose(rng, split, lambda: _invent(rng), lambda f: f.combinations)
    sheet = Sheet("spine", rng, seed, split, rng.choice(SIZES), film.film)
    bodies, letters, number = expose(sheet, film)
    _caption(sheet, film)
    _ask(sheet, film, bodies, letters, number)
    return sheet.photograph(
        film.combinations, unseen, noise=rng.uniform(9, 16), blur=rng.choice((0.0, 0.0, 0.6))
    )


def _invent(rng: random.Random) -> Film:
    first, last = rng.choice(RANGES)
    level = rng.randint(first, last) if rng.random() < 0.82 else 0
    return Film(
        first=first,
        last=last,
        level=level,
        finding=rng.choice(tuple(FINDINGS)) if level else "normal",
        view=rng.choice(tuple(VIEWS)),
        curve=rng.choice(tuple(CURVES)),
        letters=rng.choice(tuple(SIDES)),
        patient=f"{rng.choice('ABKMPT')}-{rng.randint(10, 99)}",
        number_above=rng.random() < 0.5,
        film=rng.choice(FILMS),
    )


def _caption(sheet: Sheet, film: Film) -> None:
    surface, view, curve = film.film.name, VIEWS[film.view], CURVES[film.curve]
    letters = SIDES[film.letters]
    if film.level:
        found = FINDINGS[film.finding]
        state: Words = f"L{film.level} {found[0]}", f"L{film.level}{found[1]}"
    else:
        state = "no abnormal vertebra", "没有异常椎体"
    sheet.caption(
        f"{surface[0]} X-ray {film.patient}, spine {view[0]}, {curve[0]}, {state[0]}, "
        f"L{film.first} to L{film.last} lettered on the {letters[0]}",
        f"{surface[1]}X光片{film.patient}，脊柱{view[1]}，{curve[1]}，{state[1]}，"
        f"L{film.first}到L{film.last}标在{letters[1]}",
    )
    sheet.caption(
        f"an X-ray of a lumbar spine {view[0]} with {state[0]}",
        f"腰椎{view[1]}X光片，{state[1]}",
    )
    sheet.caption(
        f"spine X-ray of patient {film.patient}: {state[0]}",
        f"患者{film.patient}的脊柱X光片：{state[1]}",
    )
    sheet.caption(
        f"{surface[0]} with a spine that is {curve[0]}",
        f"{surface[1]}，脊柱{curve[1]}",
    )


def _ask(
    sheet: Sheet,
    film: Film,
    bodies: dict[int, list[Point]],
    letters: dict[int, Box],
    number: Box,
) -> None:
    rng, levels = sheet.rng, list(film.levels)
    bad = f"L{film.level}" if film.level else ""
    level = film.level if film.level and rng.random() < 0.5 else rng.choice(levels)
    sheet.pose(
        "attribute",
        ("Which vertebra is abnormal?", "哪个椎体异常？"),
        same(bad) if bad else ("none", "无"),
        bodies.get(film.level),
    )
    sheet.pose(
        "attribute",
        (f"What is L{level} like?", f"L{level}是什么样的？"),
        film.state(level),
        bodies[level],
    )
    sheet.pose("attribute", ("What film is it on?", "是什么胶片？"), film.film.name)
    sheet.pose(
        "attribute",
        ("Is the spine straight or curved?", "脊柱是直的还是弯的？"),
        CURVES[film.curve],
    )
    sheet.pose(
        "attribute", ("From where is the spine seen?", "从哪个方向看脊柱？"), VIEWS[film.view]
    )
    sheet.pose("count", ("How many vertebrae are lettered?", "标了多少个椎体？"), same(len(levels)))
    sheet.pose(
        "count",
        ("How many vertebrae are abnormal?", "有多少个异常椎体？"),
        same(int(bool(film.level))),
        bodies.get(film.level),
    )
    finding = film.finding if film.level and rng.random() < 0.5 else rng.choice(tuple(FINDINGS))
    there = finding == film.finding
    word = FINDINGS[finding]
    sheet.pose(
        "existence",
        (f"Is a vertebra {word[0]}?", f"有{word[1]}的椎体吗？"),
        yes_no(there),
        bodies[film.level] if there else None,
    )
    sheet.pose(
        "relation",
        ("On which side of the spine are the letters?", "字母在脊柱的哪一边？"),
        SIDES[film.letters],
    )
    above = rng.choice(levels[1:])
    sheet.pose(
        "relation",
        (f"Which vertebra is just above L{above}?", f"L{above}的上一个是哪个椎体？"),
        same(f"L{above - 1}"),
        bodies[above - 1],
    )
    sheet.pose(
        "reading", ("What is the patient number?", "患者编号是什么？"), same(film.patient), number
    )
    sheet.pose(
        "reading",
        ("What is the lowest vertebra lettered?", "标出的最下面的椎体是哪个？"),
        same(f"L{film.last}"),
        letters[film.last],
    )
    a, b = rng.sample(levels, 2)
    sheet.pose(
        "comparison",
        (f"Which is lower, L{a} or L{b}?", f"L{a}和L{b}哪个更低？"),
        same(f"L{max(a, b)}"),
        bodies[max(a, b)],
    )
    if film.finding in ("flat", "wedge", "bright"):
        other = rng.choice([n for n in levels if n != film.level])
        brighter = film.finding == "bright"
        first, second = sorted((film.level, other))
        sheet.pose(
            "comparison",
            (f"Which is {'brighter' if brighter else 'flatter'}, L{first} or L{second}?",
             f"L{first}和L{second}哪个更{'亮' if brighter else '扁'}？"),
            same(bad), bodies[film.level],
        )  # fmt: skip
    where = rng.choice(levels)
    sheet.ask_where(f"vertebra L{where}", f"椎体L{where}", bodies[where])
    if film.level:
        sheet.ask_where("the abnormal vertebra", "异常椎体", bodies[film.level])
    absent = [n for n in range(1, 6) if n not in levels]
    if absent:
        sheet.ask_in_vain(f"What is L{absent[0]} like?", f"L{absent[0]}是什么样的？")
    sheet.ask_in_vain("How old is the patient?", "患者多大年纪？")
    sheet.keep(12)
