"""Tests of sheets: charts, flowcharts, geometry, heat sinks and spine X-rays."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from functools import cache
from typing import get_args

import pytest
from PIL import ImageChops

from sightline.training.world.core.scene import Box, Question, QuestionKind, Scene, SceneText
from sightline.training.world.core.sheet import BLACK_BOARD, GRID, WHITE, Sheet, Surface
from sightline.training.world.core.splits import is_unseen, seed_of
from sightline.training.world.families import draw
from sightline.training.world.geometry.figures import FIGURES, Figure
from sightline.training.world.heatsink.drawing import SOCKETS

SHEETS = ("chart", "flowchart", "geometry", "heatsink", "spine")
every_sheet = pytest.mark.parametrize("family", SHEETS)


@cache
def _drawn(family: str, number: int) -> Scene:
    return draw(family, seed_of("test", number), "test")


def scenes(family: str, count: int = 50) -> list[Scene]:
    return [_drawn(family, i) for i in range(count)]


def questions_starting_with(scene: Scene, opening: str) -> list[Question]:
    return [q for q in scene.questions if q.language == "en" and q.question.startswith(opening)]


def question_parts(question: Question, *fixed: str) -> list[str]:
    """Return the variable parts of a question."""
    text = question.question.rstrip("?")
    for word in fixed:
        text = text.replace(word, "|")
    return [part.strip() for part in text.split("|") if part.strip()]


# All families


@every_sheet
def test_drawing_is_deterministic(family: str) -> None:
    first, again = (draw(family, 7, "train") for _ in range(2))
    assert first.image.tobytes() == again.image.tobytes()
    assert (first.captions, first.objects, first.texts, first.questions) == (
        again.captions, again.objects, again.texts, again.questions,
    )  # fmt: skip
    assert draw(family, 8, "train").image.tobytes() != first.image.tobytes()


@every_sheet
def test_boxes_are_inside_the_image_and_not_empty(family: str) -> None:
    for scene in scenes(family):
        width, height = scene.image.size
        boxes = [scene_object.box for scene_object in scene.objects]
        boxes += [scene_text.box for scene_text in scene.texts]
        boxes += [question.box for question in scene.questions if question.box]
        for x0, y0, x1, y1 in boxes:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
            assert (x1 - x0) * (y1 - y0) > 12


@every_sheet
def test_text_is_inside_the_image_and_has_contrast(
    family: str,
) -> None:
    for scene in scenes(family):
        width, height = scene.image.size
        gray = scene.image.convert("L")
        for scene_text in scene.texts:
            x0, y0, x1, y1 = scene_text.box
            assert x0 > 0, scene_text
            assert y0 > 0, scene_text
            assert x1 < width, scene_text
            assert y1 < height, scene_text
            low, high = gray.crop((round(x0), round(y0), round(x1), round(y1))).getextrema()
            assert float(str(high)) - float(str(low)) > 60, scene_text


@every_sheet
def test_texts_do_not_overlap(family: str) -> None:
    for scene in scenes(family):
        boxes = [(scene_text.text, scene_text.box) for scene_text in scene.texts]
        for i, (text, a) in enumerate(boxes):
            for other, b in boxes[:i]:
                shared = _shared(a, b)
                assert shared < 0.2 * min(_area(a), _area(b)), (scene.seed, text, other)


@every_sheet
def test_every_question_kind_occurs_in_both_languages(family: str) -> None:
    for scene in scenes(family):
        for language in ("en", "zh"):
            mine = [q for q in scene.questions if q.language == language]
            assert {q.kind for q in mine} == set(get_args(QuestionKind))
            assert 8 <= len(mine) <= 12
            for question in mine:
                assert question.answer
                if question.kind == "location":
                    assert question.box
                if question.kind == "unanswerable":
                    assert question.box is None


@every_sheet
def test_questions_are_unique_per_image(family: str) -> None:
    for scene in scenes(family):
        questions = [q.question for q in scene.questions]
        assert len(questions) == len(set(questions))


@every_sheet
def test_captions_are_short_and_the_first_is_unique(family: str) -> None:
    drawn = scenes(family)
    for language in ("en", "zh"):
        assert len({p.captions[language][0] for p in drawn}) == len(drawn)
    for scene in drawn:
        assert min(len(wordings) for wordings in scene.captions.values()) >= 3
        assert max(len(c.split()) for c in scene.captions["en"]) <= 25


@every_sheet
def test_unseen_combinations_occur_only_in_the_test_split(family: str) -> None:
    for split in ("train", "validation"):
        for i in range(12):
            scene = draw(family, seed_of(split, i), split)
            assert not scene.unseen
            assert not is_unseen(scene.combination)
    drawn = scenes(family)
    assert {p.unseen for p in drawn} == {True, False}
    assert all(p.unseen == is_unseen(p.combination) for p in drawn)


@pytest.mark.parametrize("surface", [WHITE, GRID, BLACK_BOARD])
def test_text_box_matches_its_ink_in_the_image(surface: Surface) -> None:
    def render(text: str) -> tuple[Scene, list[SceneText]]:
        sheet = Sheet("chart", random.Random(3), 3, "train", (320, 240), surface)
        if text:
            sheet.write_text((120, 130), text, 24)
        sheet.add_caption("a sheet", "纸")
        scene = sheet.render_sheet(("x",), False, light=0, noise=0)
        return scene, scene.texts

    written, texts = render("Ready 42")
    blank, _ = render("")
    changed = ImageChops.difference(written.image, blank.image).convert("L")
    ink = changed.point([0] * 40 + [255] * 216).getbbox()
    assert ink is not None
    assert texts[0].box == pytest.approx(ink, abs=3)


# Answers recomputed from the objects


def test_chart_answers_match_its_marks() -> None:
    for scene in scenes("chart"):
        values = {t.label: int(t.attributes["value"]) for t in scene.objects}
        colors = {t.label: t.attributes["colour"] for t in scene.objects}
        names = list(values)
        written = [r.text for r in scene.texts]
        assert all(name in written and str(value) in written for name, value in values.items())
        for q in questions_starting_with(scene, "How many"):
            assert q.answer == str(len(names))
        for q in questions_starting_with(scene, "Which is the largest"):
            assert q.answer == max(values, key=lambda n: values[n])
        for q in questions_starting_with(scene, "Which is the smallest"):
            assert q.answer == min(values, key=lambda n: values[n])
        for q in questions_starting_with(scene, "Which is larger"):
            pair = question_parts(q, "Which is larger,", " or ")
            assert q.answer == max(pair, key=lambda n: values[n])
        for q in questions_starting_with(scene, "What is the value of"):
            (name,) = question_parts(q, "What is the value of")
            assert q.answer == str(values.get(name, "not shown"))
        for q in questions_starting_with(scene, "What colour is"):
            assert q.answer == colors[question_parts(q, "What colour is")[0]]
        for q in questions_starting_with(scene, "Is there a"):
            assert q.answer == ("yes" if q.question.rstrip("?").split()[-1] in names else "no")
        for opening in (
            "What is just right of",
            "What is just below",
            "What is next clockwise after",
        ):
            for q in questions_starting_with(scene, opening):
                assert q.answer == names[names.index(question_parts(q, opening)[0]) + 1]


def test_chart_mark_size_increases_with_the_value() -> None:
    for scene in scenes("chart"):
        if scene.objects[0].attributes["mark"] != "bar":
            continue
        by_value = sorted(scene.objects, key=lambda t: int(t.attributes["value"]))
        sizes = [max(t.box[2] - t.box[0], 0) * (t.box[3] - t.box[1]) for t in by_value]
        assert sizes == sorted(sizes)


def test_flowchart_answers_match_its_boxes() -> None:
    for scene in scenes("flowchart"):
        boxes = [t for t in scene.objects if t.label == "box"]
        colors = {t.attributes["text"]: t.attributes["colour"] for t in boxes}
        steps = list(colors)
        diamond = [t.attributes["text"] for t in scene.objects if t.label == "diamond"]
        order = [*steps[:2], *diamond] if diamond else steps
        for q in questions_starting_with(scene, "How many boxes are"):
            last = q.question.rstrip("?").split()[-1]
            expected_steps = [s for s in steps if last in ("there", colors[s])]
            assert q.answer == str(len(expected_steps))
        for q in questions_starting_with(scene, "What colour is"):
            assert q.answer == colors[question_parts(q, "What colour is")[0]]
        for q in questions_starting_with(scene, "Is there a diamond"):
            assert q.answer == ("yes" if diamond else "no")
        for q in questions_starting_with(scene, "Is there a step"):
            assert q.answer == ("yes" if question_parts(q, "Is there a step")[0] in steps else "no")
        for q in questions_starting_with(scene, "Which comes first"):
            pair = [
                w if w in order else f"{w}?"
                for w in question_parts(q, "Which comes first,", " or ")
            ]
            assert q.answer == min(pair, key=order.index)
        for q in questions_starting_with(scene, "What comes just after"):
            (name,) = question_parts(q, "What comes just after")
            if q.kind == "unanswerable":
                assert name not in steps
            else:
                assert q.answer == order[order.index(name) + 1]
        for q in questions_starting_with(scene, "What does the diamond say"):
            assert q.answer == (diamond[0] if diamond else "not shown")


def test_heat_sink_answers_match_its_dimensions() -> None:
    for scene in scenes("heatsink"):
        size = {
            t.attributes["direction"]: int(t.attributes["millimetres"])
            for t in scene.objects
            if t.label == "dimension"
        }
        spacing = size["horizontal"], size.get("vertical", 0)
        holes = [t for t in scene.objects if t.label == "hole"]
        assert len(holes) == (4 if "vertical" in size else 2)
        for q in questions_starting_with(scene, "How many holes"):
            assert q.answer == str(len(holes))
        for q in questions_starting_with(scene, "Do these holes fit"):
            board = question_parts(q, "Do these holes fit an", "board")[0]
            assert q.answer == ("yes" if spacing == SOCKETS[board] else "no")
        for q in questions_starting_with(scene, "What is the horizontal"):
            assert q.answer == str(spacing[0])
        for q in questions_starting_with(scene, "What is the vertical"):
            assert q.answer == str(spacing[1] or "not shown")
        for q in questions_starting_with(scene, "Which spacing is larger"):
            across, along = spacing
            assert q.answer == (
                "equal" if across == along else "horizontal" if across > along else "vertical"
            )
        for q in questions_starting_with(scene, "Which socket is it for"):
            named = [r.text for r in scene.texts if r.text in SOCKETS]
            assert [q.answer] == (named or ["not shown"])


def test_heat_sink_is_drawn_to_scale() -> None:
    for scene in scenes("heatsink"):
        spans = {t.attributes["direction"]: t for t in scene.objects if t.label == "dimension"}
        if len(spans) < 2:
            continue
        across, along = spans["horizontal"], spans["vertical"]
        drawn = (across.box[2] - across.box[0]) / (along.box[3] - along.box[1])
        expected = int(across.attributes["millimetres"]) / int(along.attributes["millimetres"])
        assert drawn == pytest.approx(expected, rel=0.1)


def test_spine_answers_match_its_vertebrae() -> None:
    for scene in scenes("spine"):
        states = {t.attributes["name"]: t.attributes["state"] for t in scene.objects}
        abnormal = [name for name, state in states.items() if state != "normal"]
        assert len(abnormal) <= 1
        for q in questions_starting_with(scene, "Which vertebra is abnormal"):
            assert [q.answer] == (abnormal or ["none"])
        for q in questions_starting_with(scene, "How many vertebrae are"):
            expected = abnormal if "abnormal" in q.question else states
            assert q.answer == str(len(expected))
        for q in questions_starting_with(scene, "What is L"):
            assert q.answer == states.get(q.question.split()[2], "not shown")
        for q in questions_starting_with(scene, "Is a vertebra"):
            found = question_parts(q, "Is a vertebra")[0] in states.values()
            assert q.answer == ("yes" if found else "no")
        for q in questions_starting_with(scene, "Which is lower"):
            pair = question_parts(q, "Which is lower,", " or ")
            tops = {t.attributes["name"]: t.box[3] for t in scene.objects}
            assert q.answer == max(pair, key=lambda n: tops[n])
        for opening in ("Which is flatter", "Which is brighter"):
            for q in questions_starting_with(scene, opening):
                assert [q.answer] == abnormal


def test_geometry_answers_match_the_written_text() -> None:
    for scene in scenes("geometry"):
        written = [r.text for r in scene.texts]
        for q in questions_starting_with(scene, "What is given for"):
            assert q.answer in written
        for q in questions_starting_with(scene, "What is to be found"):
            assert f"{q.answer.removeprefix('the ')} = ?" in written
        for q in questions_starting_with(scene, "Where is the letter"):
            assert q.answer.split()[-1] in written
        for q in questions_starting_with(scene, "How long is"):
            assert q.kind == "unanswerable"


@pytest.mark.parametrize("make", FIGURES.values(), ids=FIGURES)
def test_figure_is_true_to_scale_and_its_answer_is_correct(
    make: Callable[[random.Random], Figure],
) -> None:
    for seed in range(60):
        figure = make(random.Random(seed))
        for what, value in (*figure.given, (figure.goal, figure.answer)):
            expected = float(value.rstrip("°"))
            assert _measured(figure, what) == pytest.approx(expected, abs=1e-6), (seed, what)


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
