"""Geometry problems: a labeled figure with given values and a question."""

from __future__ import annotations

import random

from sightline.training.world.core.language import CHINESE, yes_no
from sightline.training.world.core.scene import Box, Scene, Split
from sightline.training.world.core.sheet import Sheet, same_text
from sightline.training.world.core.splits import sample_attributes
from sightline.training.world.geometry.drawing import (
    LETTERS,
    PENS,
    SIZES,
    STYLES,
    SURFACES,
    DrawnAreas,
    Problem,
    ProblemDrawing,
)
from sightline.training.world.geometry.figures import FIGURES


def draw(rng: random.Random, seed: int, split: Split) -> Scene:
    """Draw a geometry problem with captions and questions."""
    problem, unseen = sample_attributes(rng, split, lambda: _sample(rng), lambda p: p.combinations)
    sheet = Sheet("geometry", rng, seed, split, rng.choice(SIZES), problem.surface)
    _add_questions(sheet, problem, ProblemDrawing(sheet, problem).paint())
    _add_captions(sheet, problem)
    return sheet.render_sheet(problem.combinations, unseen)


def _sample(rng: random.Random) -> Problem:
    return Problem(
        figure=FIGURES[rng.choice(tuple(FIGURES))](rng),
        letters=rng.choice(LETTERS),
        color=rng.choice(PENS),
        style=rng.choice(tuple(STYLES)),
        surface=rng.choice(SURFACES),
        text_above=rng.random() < 0.5,
    )


def _add_captions(sheet: Sheet, problem: Problem) -> None:
    figure, surface = problem.figure, problem.surface.name
    color = problem.color, CHINESE[problem.color]
    style = STYLES[problem.style]
    given = [f"{problem.named(what)[0]} is {value}" for what, value in figure.given]
    given_zh = [f"{problem.named(what)[1]}={value}" for what, value in figure.given]
    goal = problem.goal
    sheet.add_caption(
        f"{color[0]} {style[0]} {figure.name[0]} {problem.name} on {surface[0]}, "
        f"{', '.join(given)}, find {goal[0]}",
        f"{surface[1]}上的{color[1]}{style[1]}{figure.name[1]}{problem.name}，"
        f"{','.join(given_zh)}，求{goal[1]}",
    )
    sheet.add_caption(
        f"a geometry problem: {figure.name[0]} {problem.name} with {' and '.join(given)}",
        f"几何题：{figure.name[1]}{problem.name}，{','.join(given_zh)}",
    )
    sheet.add_caption(
        f"find {goal[0]} of the {figure.name[0]} {problem.name}",
        f"求{figure.name[1]}{problem.name}的{goal[1]}",
    )
    sheet.add_caption(
        f"a {color[0]} {figure.name[0]} drawn on {surface[0]}".replace("a orange", "an orange"),
        f"画在{surface[1]}上的{color[1]}{figure.name[1]}",
    )


def _add_questions(sheet: Sheet, problem: Problem, areas: DrawnAreas) -> None:
    outline, vertices, given = areas.outline, areas.vertices, areas.given
    text, points = areas.text, areas.points
    rng, figure = sheet.rng, problem.figure
    goal = problem.goal
    angle = len(figure.goal) == 3
    sheet.add_bilingual_question(
        "attribute", (f"What is {goal[0]}?", f"{goal[1]}是多少？"), same_text(figure.answer)
    )
    sheet.add_bilingual_question(
        "attribute", ("What figure is it?", "这是什么图形？"), figure.name, outline
    )
    sheet.add_bilingual_question(
        "attribute",
        ("What colour is the figure?", "图形是什么颜色？"),
        (problem.color, CHINESE[problem.color]),
        outline,
    )
    sheet.add_bilingual_question(
        "attribute", ("What is it drawn on?", "画在什么上面？"), problem.surface.name
    )
    sheet.add_bilingual_question(
        "attribute",
        ("Is the figure filled or outlined?", "图形是实心还是空心？"),
        STYLES[problem.style],
        outline,
    )
    sheet.add_bilingual_question(
        "count",
        ("How many points have letters?", "有多少个点标了字母？"),
        same_text(figure.vertices),
    )
    sheet.add_bilingual_question(
        "count", ("How many values are given?", "给出了多少个数值？"), same_text(len(given))
    )
    sheet.add_bilingual_question(
        "existence", ("Is a right angle marked?", "标了直角吗？"), yes_no(bool(figure.right_angles))
    )
    sheet.add_bilingual_question(
        "existence", ("Is it a circle?", "是圆吗？"), yes_no(figure.kind == "circle")
    )
    sheet.add_bilingual_question("reading", ("What is to be found?", "要求什么？"), goal, text)
    what, value = rng.choice(figure.given)
    name = problem.named(what)
    sheet.add_bilingual_question(
        "reading",
        (f"What is given for {name[0]}?", f"{name[1]}给出的数值是多少？"),
        same_text(value),
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
        sheet.add_bilingual_question(
            "relation",
            (f"Which point is {word[0]}?", f"哪个点在{word[1]}？"),
            same_text(letter),
            vertices[letter],
        )
    where = ("above", "上面") if problem.text_above else ("below", "下面")
    sheet.add_bilingual_question(
        "relation",
        ("Is the question above or below the figure?", "问题在图形的上面还是下面？"),
        where,
        text,
    )
    _add_comparison_question(sheet, problem, given)
    letter = rng.choice(problem.name)
    sheet.add_location_question(f"the letter {letter}", f"字母{letter}", vertices[letter])
    sheet.add_location_question("the figure", "图形", outline)
    sheet.add_location_question("the question", "问题", text)
    absent = rng.choice([c for c in "ABCDEFGHJKLMNPQRSTUWXYZ" if c not in problem.name])
    sheet.add_unanswerable_question(
        f"How long is {problem.name[0]}{absent}?", f"{problem.name[0]}{absent}有多长？"
    )
    if figure.kind == "circle":
        sheet.add_unanswerable_question("Which angle is a right angle?", "哪个角是直角？")
    elif angle:
        sheet.add_unanswerable_question("What is the perimeter?", "周长是多少？")
    else:
        sheet.add_unanswerable_question("What is the radius?", "半径是多少？")
    sheet.limit_questions(12)


def _add_comparison_question(sheet: Sheet, problem: Problem, given: dict[str, Box]) -> None:
    values = [(what, int(value.rstrip("°"))) for what, value in problem.figure.given]
    if len(values) > 1 and values[0][1] != values[1][1]:
        (a, first), (b, second) = values[:2]
        more = a if first > second else b
        x, y = problem.named(a), problem.named(b)
        sheet.add_bilingual_question(
            "comparison",
            (f"Which is larger, {x[0]} or {y[0]}?", f"{x[1]}和{y[1]}哪个更大？"),
            problem.named(more),
            given[more],
        )
        return
    what, value = values[0]
    limit = value + sheet.rng.choice((-3, -2, 2, 3))
    name = problem.named(what)
    sheet.add_bilingual_question(
        "comparison",
        (f"Is {name[0]} more than {limit}?", f"{name[1]}大于{limit}吗？"),
        yes_no(value > limit),
        given[what],
    )
