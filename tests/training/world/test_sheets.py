"""The drawn sheets: charts, flowcharts, geometry problems, heat sinks and spine films."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache
from typing import get_args

import pytest
from PIL import ImageChops

from sightline.training.world.core.picture import Box, Picture, Question, QuestionKind, Reading
from sightline.training.world.core.sheet import BLACK_BOARD, GRID, WHITE, Sheet, Surface
from sightline.training.world.core.splits import is_unseen, seed_of
from sightline.training.world.families import draw
from sightline.training.world.geometry.figures import FIGURES, Figure
from sightline.training.world.heatsink.art import SOCKETS

SHEETS = ("chart", "flowchart", "geometry", "heatsink", "spine")
every_sheet = pytest.mark.parametrize("family", SHEETS)


@cache
def _drawn(family: str, number: int) -> Picture:
    return draw(family, seed_of("test", number), "test")


def pictures(family: str, count: int = 50) -> list[Picture]:
    return [_drawn(family, i) for i in range(count)]


def asked(picture: Picture, opening: str) -> list[Question]:
    return [q for q in picture.questions if q.language == "en" and q.question.startswith(opening)]


def words_of(question: Question, *around: str) -> list[str]:
    """What a question asks about, without the words that all such questions have."""
    text = question.question.rstrip("?")
    for word in around:
        text = text.replace(word, "|")
    return [part.strip() for part in text.split("|") if part.strip()]


# Every family -------------------------------------------------------------------------------


@every_sheet
def test_the_same_seed_draws_the_same_picture_and_another_seed_another(family: str) -> None:
    first, again = (draw(family, 7, "train") for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.captions, first.things, first.readings, first.questions) == (
        again.captions, again.things, again.readings, again.questions,
    )  # fmt: skip
    assert draw(family, 8, "train").image.tobytes() != first.image.tobytes()


@every_sheet
def test_every_box_lies_inside_the_picture_and_holds_something(family: str) -> None:
    for picture in pictures(family):
        width, height = picture.image.size
        boxes = [thing.box for thing in picture.things]
        boxes += [reading.box for reading in picture.readings]
        boxes += [question.box for question in picture.questions if question.box]
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            assert (x1 - x0) * (y1 - y0) > 12


@every_sheet
def test_text_is_inside_the_picture_whole_and_stands_out_from_what_is_behind_it(
    family: str,
) -> None:
    for picture in pictures(family):
        width, height = picture.image.size
        grey = picture.image.convert("L")
        for reading in picture.readings:
            x0, y0, x1, y1 = reading.box
            assert x0 > 0, reading
            assert y0 > 0, reading
            assert x1 < width, reading
            assert y1 < height, reading
            low, high = grey.crop((round(x0), round(y0), round(x1), round(y1))).getextrema()
            assert float(str(high)) - float(str(low)) > 60, reading


@every_sheet
def test_texts_do_not_stand_on_each_other(family: str) -> None:
    for picture in pictures(family):
        boxes = [(reading.text, reading.box) for reading in picture.readings]
        for i, (text, a) in enumerate(boxes):
            for other, b in boxes[:i]:
                shared = _shared(a, b)
                assert shared < 0.2 * min(_area(a), _area(b)), (picture.seed, text, other)


@every_sheet
def test_every_kind_is_asked_in_both_languages(family: str) -> None:
    for picture in pictures(family):
        for language in ("en", "zh"):
            mine = [q for q in picture.questions if q.language == language]
            assert {q.kind for q in mine} == set(get_args(QuestionKind))
            assert 8 <= len(mine) <= 12
            for question in mine:
                assert question.answer
                if question.kind == "location":
                    assert question.box
                if question.kind == "unanswerable":
                    assert question.box is None


@every_sheet
def test_no_question_is_asked_twice_of_one_picture(family: str) -> None:
    for picture in pictures(family):
        questions = [q.question for q in picture.questions]
        assert len(questions) == len(set(questions))


@every_sheet
def test_the_first_captions_tell_pictures_apart_and_are_short(family: str) -> None:
    drawn = pictures(family)
    for language in ("en", "zh"):
        assert len({p.captions[language][0] for p in drawn}) == len(drawn)
    for picture in drawn:
        assert min(len(wordings) for wordings in picture.captions.values()) >= 3
        assert max(len(c.split()) for c in picture.captions["en"]) <= 25


@every_sheet
def test_unseen_combinations_are_in_the_test_split_alone(family: str) -> None:
    for split in ("train", "validation"):
        for i in range(12):
            picture = draw(family, seed_of(split, i), split)
            assert not picture.unseen
            assert not is_unseen(picture.combination)
    drawn = pictures(family)
    assert {p.unseen for p in drawn} == {True, False}
    assert all(p.unseen == is_unseen(p.combination) for p in drawn)


@pytest.mark.parametrize("surface", [WHITE, GRID, BLACK_BOARD])
def test_a_reading_has_the_box_of_its_ink_in_the_photograph(surface: Surface) -> None:
    def shot(text: str) -> tuple[Picture, list[Reading]]:
        sheet = Sheet("chart", random.Random(3), 3, "train", (320, 240), surface)
        if text:
            sheet.write((120, 130), text, 24)
        sheet.caption("a sheet", "纸")
        picture = sheet.photograph(("x",), False, light=0, noise=0)
        return picture, picture.readings

    written, readings = shot("Ready 42")
    blank, _ = shot("")
    changed = ImageChops.difference(written.image, blank.image).convert("L")
    ink = changed.point([0] * 40 + [255] * 216).getbbox()
    assert ink is not None
    assert readings[0].box == pytest.approx(ink, abs=3)


# Answers, worked out again from the things ---------------------------------------------------


def test_a_chart_is_asked_about_as_its_marks_say() -> None:
    for picture in pictures("chart"):
        values = {t.label: int(t.attributes["value"]) for t in picture.things}
        colours = {t.label: t.attributes["colour"] for t in picture.things}
        names = list(values)
        written = [r.text for r in picture.readings]
        assert all(name in written and str(value) in written for name, value in values.items())
        for q in asked(picture, "How many"):
            assert q.answer == str(len(names))
        for q in asked(picture, "Which is the largest"):
            assert q.answer == max(values, key=lambda n: values[n])
        for q in asked(picture, "Which is the smallest"):
            assert q.answer == min(values, key=lambda n: values[n])
        for q in asked(picture, "Which is larger"):
            pair = words_of(q, "Which is larger,", " or ")
            assert q.answer == max(pair, key=lambda n: values[n])
        for q in asked(picture, "What is the value of"):
            (name,) = words_of(q, "What is the value of")
            assert q.answer == str(values.get(name, "not shown"))
        for q in asked(picture, "What colour is"):
            assert q.answer == colours[words_of(q, "What colour is")[0]]
        for q in asked(picture, "Is there a"):
            assert q.answer == ("yes" if q.question.rstrip("?").split()[-1] in names else "no")
        for opening in (
            "What is just right of",
            "What is just below",
            "What is next clockwise after",
        ):
            for q in asked(picture, opening):
                assert q.answer == names[names.index(words_of(q, opening)[0]) + 1]


def test_the_marks_of_a_chart_are_as_large_as_their_values() -> None:
    for picture in pictures("chart"):
        if picture.things[0].attributes["mark"] != "bar":
            continue
        by_value = sorted(picture.things, key=lambda t: int(t.attributes["value"]))
        sizes = [max(t.box[2] - t.box[0], 0) * (t.box[3] - t.box[1]) for t in by_value]
        assert sizes == sorted(sizes)


def test_a_flowchart_is_asked_about_as_its_boxes_say() -> None:
    for picture in pictures("flowchart"):
        boxes = [t for t in picture.things if t.label == "box"]
        colours = {t.attributes["text"]: t.attributes["colour"] for t in boxes}
        steps = list(colours)
        diamond = [t.attributes["text"] for t in picture.things if t.label == "diamond"]
        order = [*steps[:2], *diamond] if diamond else steps
        for q in asked(picture, "How many boxes are"):
            last = q.question.rstrip("?").split()[-1]
            wanted = [s for s in steps if last in ("there", colours[s])]
            assert q.answer == str(len(wanted))
        for q in asked(picture, "What colour is"):
            assert q.answer == colours[words_of(q, "What colour is")[0]]
        for q in asked(picture, "Is there a diamond"):
            assert q.answer == ("yes" if diamond else "no")
        for q in asked(picture, "Is there a step"):
            assert q.answer == ("yes" if words_of(q, "Is there a step")[0] in steps else "no")
        for q in asked(picture, "Which comes first"):
            pair = [w if w in order else f"{w}?" for w in words_of(q, "Which comes first,", " or ")]
            assert q.answer == min(pair, key=order.index)
        for q in asked(picture, "What comes just after"):
            (name,) = words_of(q, "What comes just after")
            if q.kind == "unanswerable":
                assert name not in steps
            else:
                assert q.answer == order[order.index(name) + 1]
        for q in asked(picture, "What does the diamond say"):
            assert q.answer == (diamond[0] if diamond else "not shown")


def test_a_heat_sink_fits_a_board_when_its_dimensions_are_those_of_the_board() -> None:
    for picture in pictures("heatsink"):
        size = {
            t.attributes["direction"]: int(t.attributes["millimetres"])
            for t in picture.things
            if t.label == "dimension"
        }
        spacing = size["horizontal"], size.get("vertical", 0)
        holes = [t for t in picture.things if t.label == "hole"]
        assert len(holes) == (4 if "vertical" in size else 2)
        for q in asked(picture, "How many holes"):
            assert q.answer == str(len(holes))
        for q in asked(picture, "Do these holes fit"):
            board = words_of(q, "Do these holes fit an", "board")[0]
            assert q.answer == ("yes" if spacing == SOCKETS[board] else "no")
        for q in asked(picture, "What is the horizontal"):
            assert q.answer == str(spacing[0])
        for q in asked(picture, "What is the vertical"):
            assert q.answer == str(spacing[1] or "not shown")
        for q in asked(picture, "Which spacing is larger"):
            across, along = spacing
            assert q.answer == (
                "equal" if across == along else "horizontal" if across > along else "vertical"
            )
        for q in asked(picture, "Which socket is it for"):
            named = [r.text for r in picture.readings if r.text in SOCKETS]
            assert [q.answer] == (named or ["not shown"])


def test_a_heat_sink_is_drawn_to_scale() -> None:
    for picture in pictures("heatsink"):
        spans = {t.attributes["direction"]: t for t in picture.things if t.label == "dimension"}
        if len(spans) < 2:
            continue
        across, along = spans["horizontal"], spans["vertical"]
        drawn = (across.box[2] - across.box[0]) / (along.box[3] - along.box[1])
        told = int(across.attributes["millimetres"]) / int(along.attributes["millimetres"])
        assert drawn == pytest.approx(told, rel=0.1)


def test_a_spine_is_asked_about_as_its_vertebrae_say() -> None:
    for picture in pictures("spine"):
        states = {t.attributes["name"]: t.attributes["state"] for t in picture.things}
        abnormal = [name for name, state in states.items() if state != "normal"]
        assert len(abnormal) <= 1
        for q in asked(picture, "Which vertebra is abnormal"):
            assert [q.answer] == (abnormal or ["none"])
        for q in asked(picture, "How many vertebrae are"):
            counted = abnormal if "abnormal" in q.question else states
            assert q.answer == str(len(counted))
        for q in asked(picture, "What is L"):
            assert q.answer == states.get(q.question.split()[2], "not shown")
        for q in asked(picture, "Is a vertebra"):
            found = words_of(q, "Is a vertebra")[0] in states.values()
            assert q.answer == ("yes" if found else "no")
        for q in asked(picture, "Which is lower"):
            pair = words_of(q, "Which is lower,", " or ")
            tops = {t.attributes["name"]: t.box[3] for t in picture.things}
            assert q.answer == max(pair, key=lambda n: tops[n])
        for opening in ("Which is flatter", "Which is brighter"):
            for q in asked(picture, opening):
                assert [q.answer] == abnormal


def test_a_geometry_problem_gives_and_asks_what_is_written_in_the_picture() -> None:
    for picture in pictures("geometry"):
        written = [r.text for r in picture.readings]
        for q in asked(picture, "What is given for"):
            assert q.answer in written
        for q in asked(picture, "What is to be found"):
            assert f"{q.answer.removeprefix('the ')} = ?" in written
        for q in asked(picture, "Where is the letter"):
            assert q.answer.split()[-1] in written
        for q in asked(picture, "How long is"):
            assert q.kind == "unanswerable"


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_a_figure_is_drawn_true_and_its_answer_is_right(
    make: Callable[[random.Random], Figure],
) -> None:
    for seed in range(60):
        figure = make(random.Random(seed))
        for what, value in (*figure.given, (figure.goal, figure.answer)):
            told = float(value.rstrip("°"))
            assert _measured(figure, what) == pytest.approx(told, abs=1e-6), (seed, what)


def _measured(figure: Figure, what: str) -> float:
    corners = figure.points[: figure.vertices]
    edges = list(zip(corners, (*corners[1:], corners[0]), strict=True))
    if what == "area":
        return abs(sum(a[0] * b[1] - b[0] * a[1] for a, b in edges)) / 2
    if what == "perimeter":
        return sum(math.dist(a, b) for a, b in edges)
    if what == "diameter":
        return 2 * math.dist(*corners[:2])
    points = [figure.points[int(c)] for c in what]
    if len(points) == 2:
        return math.dist(*points)
    arm, corner, other = points
    turn = math.atan2(arm[1] - corner[1], arm[0] - corner[0]) - math.atan2(
        other[1] - corner[1], other[0] - corner[0]
    )
    degrees = abs(math.degrees(turn)) % 360
    return min(degrees, 360 - degrees)


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _shared(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
