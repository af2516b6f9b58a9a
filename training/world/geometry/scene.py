"""Geometry problems: a labeled figure with given values and a question."""

from __future__ import annotations

import random

from sightline.training.world.core.language import CHINESE, yes_no
from sightline.training.world.core.picture import Box, Picture, Split
from sightline.training.world.core.sheet import Sheet, same
from sightline.training.world.core.splits import choose
from sightline.training.world.geometry.art import (
    LETTERS,
    PENS,
    SIZES,
    STYLES,
    SURFACES,
    Board,
    Places,
    Problem,
)
from sightline.training.world.geometry.figures import FIGURES


def draw(rng: random.Random, seed: int, split: Split) -> Picture:
    """Draw a geometry problem with captions and questions."""
    problem, unseen = choose(rng, split, lambda: _invent(rng), lambda p: p.combinations)
    sheet = Sheet("geometry", rng, seed, split, rng.choice(SIZES), problem.surface)
    _ask(sheet, problem, Board(sheet, problem).paint())
    _caption(sheet, problem)
    return sheet.photograph(problem.combinations, unseen)


def _invent(rng: random.Random) -> Problem:
    return Problem(
        figure=FIGURES[rng.choice(tuple(FIGURES))](rng),
        letters=rng.choice(LETTERS),
        colour=rng.choice(PENS),
        style=rng.choice(tuple(STYLES)),
        surface=rng.choice(SURFACES),
        text_above=rng.random() < 0.5,
    )


def _caption(sheet: Sheet, problem: Problem) -> None:
    figure, surface = problem.figure, problem.surface.name
    colour = problem.colour, CHINESE[problem.colour]
    style = STYLES[problem.style]
    given = [f"{problem.named(what)[0]} is {value}" for what, value in figure.given]
    given_zh = [f"{problem.named(what)[1]}={value}" for what, value in figure.given]
    goal = problem.goal
    sheet.caption(
        f"{colour[0]} {style[0]} {figure.name[0]} {problem.name} on {surface[0]}, "
        f"{', '.join(given)}, find {goal[0]}",
        f"{surface[1]}上的{colour[1]}{style[1]}{figure.name[1]}{problem.name}，"
        f"{','.join(given_zh)}，求{goal[1]}",
    )
    sheet.caption(
        f"a geometry problem: {figure.name[0]} {problem.name} with {' and '.join(given)}",
        f"几何题：{figure.name[1]}{problem.name}，{','.join(given_zh)}",
    )
    sheet.caption(
        f"find {goal[0]} of the {figure.name[0]} {problem.name}",
        f"求{figure.name[1]}{problem.name}的{goal[1]}",
    )
    sheet.caption(
        f"a {colour[0]} {figure.name[0]} drawn on {surface[0]}".replace("a orange", "an orange"),
        f"画在{surface[1]}上的{colour[1]}{figure.name[1]}",
    )


def _ask(sheet: Sheet, problem: Problem, places: Places) -> None:
    outline, vertices, given = places.outline, places.vertices, places.given
    text, points = places.text, places.points
    rng, figure = sheet.rng, problem.figure
    goal = problem.goal
    angle = len(figure.goal) == 3
    sheet.pose("attribute", (f"What is {goal[0]}?", f"{goal[1]}是多少？"), same(figure.answer))
    sheet.pose("attribute", ("What figure is it?", "这是什么图形？"), figure.name, outline)
    sheet.pose(
        "attribute",
        ("What colour is the figure?", "图形是什么颜色？"),
        (problem.colour, CHINESE[problem.colour]),
        outline,
    )
    sheet.pose("attribute", ("What is it drawn on?", "画在什么上面？"), problem.surface.name)
    sheet.pose(
        "attribute",
        ("Is the figure filled or outlined?", "图形是实心还是空心？"),
        STYLES[problem.style],
        outline,
    )
    sheet.pose(
        "count", ("How many points have letters?", "有多少个点标了字母？"), same(figure.vertices)
    )
    sheet.pose("count", ("How many values are given?", "给出了多少个数值？"), same(len(given)))
    sheet.pose(
        "existence", ("Is a right angle marked?", "标了直角吗？"), yes_no(bool(figure.right_angles))
    )
    sheet.pose("existence", ("Is it a circle?", "是圆吗？"), yes_no(figure.kind == "circle"))
    sheet.pose("reading", ("What is to be found?", "要求什么？"), goal, text)
    what, value = rng.choice(figure.given)
    name = problem.named(what)
    sheet.pose(
        "reading",
        (f"What is given for {name[0]}?", f"{name[1]}给出的数值是多少？"),
        same(value),
        given[what],
    )
    xs = sorted(range(figure.vertices), key=lambda i: points[i][0])
    ys = sorted(range(figure.vertices), key=lambda i: points[i][1])
    far = 0.12 * sheet.canvas.size[1]
    extremes = [
        (("leftmost", "最左边"), xs[0], points[xs[1]][0] - points[xs[0]][0]),
        (("rightmost", "最右边"), xs[-1], points[xs[-1]][0] - points[xs[-2]][0]),
        (("highest", "最高"), ys[0], points[ys[1]][1] - points[ys[0]][1]),
        (("lowest", "最低"), ys[-1], points[ys[-1]][1] - points[ys[-2]][1]),
    ]
    for word, index, _ in [e for e in extremes if e[2] > far][:2]:
        letter = problem.letters[index]
        sheet.pose(
            "relation",
            (f"Which point is {word[0]}?", f"哪个点在{word[1]}？"),
            same(letter),
            vertices[letter],
        )
    where = ("above", "上面") if problem.text_above else ("below", "下面")
    sheet.pose(
        "relation",
        ("Is the question above or below the figure?", "问题在图形的上面还是下面？"),
        where,
        text,
    )
    _compare(sheet, problem, given)
    letter = rng.choice(problem.name)
    sheet.ask_where(f"the letter {letter}", f"字母{letter}", vertices[letter])
    sheet.ask_where("the figure", "图形", outline)
    sheet.ask_where("the question", "问题", text)
    absent = rng.choice([c for c in "ABCDEFGHJKLMNPQRSTUWXYZ" if c not in problem.name])
    sheet.ask_in_vain(
        f"How long is {problem.name[0]}{absent}?", f"{problem.name[0]}{absent}有多长？"
    )
    if figure.kind == "circle":
        sheet.ask_in_vain("Which angle is a right angle?", "哪个角是直角？")
    elif angle:
        sheet.ask_in_vain("What is the perimeter?", "周长是多少？")
    else:
        sheet.ask_in_vain("What is the radius?", "半径是多少？")
    sheet.keep(12)


def _compare(sheet: Sheet, problem: Problem, given: dict[str, Box]) -> None:
    values = [(what, int(value.rstrip("°"))) for what, value in problem.figure.given]
    if len(values) > 1 and values[0][1] != values[1][1]:
        (a, first), (b, second) = values[:2]
        more = a if first > second else b
        x, y = problem.named(a), problem.named(b)
        sheet.pose(
            "comparison",
            (f"Which is larger, {x[0]} or {y[0]}?", f"{x[1]}和{y[1]}哪个更大？"),
            problem.named(more),
            given[more],
        )
        return
    what, value = values[0]
    limit = value + sheet.rng.choice((-3, -2, 2, 3))
    name = problem.named(what)
    sheet.pose(
        "comparison",
        (f"Is {name[0]} more than {limit}?", f"{name[1]}大于{limit}吗？"),
        yes_no(value > limit),
        given[what],
    )
