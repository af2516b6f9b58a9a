"""Tests of scene families: streets, product cards, rooms and shapes."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import get_args

import pytest
from PIL import ImageStat

from sightline.training.world.core.scene import NOT_SHOWN, Question, QuestionKind, Scene
from sightline.training.world.core.splits import is_unseen, seed_of
from sightline.training.world.families import draw
from sightline.training.world.fonts import is_chinese
from sightline.training.world.street.plan import PAINTS
from sightline.training.world.street.vehicles import VEHICLES

SCENES = ("street", "product", "room", "shapes")
every_scene = pytest.mark.parametrize("family", SCENES)


@cache
def scenes(family: str, count: int = 60) -> list[Scene]:
    return [draw(family, seed_of("test", i), "test") for i in range(count)]


def questions_starting_with(scene: Scene, opening: str) -> list[Question]:
    return [q for q in scene.questions if q.language == "en" and q.question.startswith(opening)]


@every_scene
def test_drawing_is_deterministic(family: str) -> None:
    first, second = (draw(family, 11, "train") for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.captions == second.captions
    assert first.questions == second.questions
    assert draw(family, 12, "train").image.tobytes() != first.image.tobytes()


@every_scene
def test_boxes_are_inside_the_image_and_contain_ink(family: str) -> None:
    for scene in scenes(family):
        width, height = scene.image.size
        objects = [scene_object.box for scene_object in scene.objects]
        others = [scene_text.box for scene_text in scene.texts]
        others += [question.box for question in scene.questions if question.box]
        for x0, y0, x1, y1 in objects + others:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
        for box in objects:
            part = scene.image.crop(box).convert("L")
            assert ImageStat.Stat(part).stddev[0] > 4, scene.seed


@every_scene
def test_unseen_combinations_occur_only_in_the_test_split(family: str) -> None:
    for split in ("train", "validation"):
        drawn = [draw(family, seed_of(split, i), split) for i in range(15)]
        assert not any(p.unseen or is_unseen(p.combination) for p in drawn)
    assert {p.unseen for p in scenes(family)} == {True, False}


@every_scene
def test_every_question_kind_occurs_in_both_languages(family: str) -> None:
    for language in ("en", "zh"):
        kinds = {q.kind for p in scenes(family) for q in p.questions if q.language == language}
        assert kinds == set(get_args(QuestionKind))


@every_scene
def test_questions_are_unique_and_have_one_answer(family: str) -> None:
    for scene in scenes(family):
        assert 12 <= len(scene.questions) <= 60
        questions = [q.question for q in scene.questions]
        assert len(questions) == len(set(questions)), scene.seed
        for q in scene.questions:
            assert (q.answer == NOT_SHOWN[q.language]) == (q.kind == "unanswerable")
            assert q.kind != "location" or q.box
            assert q.kind != "unanswerable" or q.box is None
            assert q.kind == "location" or len(q.answer.split()) <= 2
            assert is_chinese(q.question) == (q.language == "zh")


@every_scene
def test_captions_are_short_and_the_first_is_unique(family: str) -> None:
    drawn = scenes(family)
    for language in ("en", "zh"):
        assert len({p.captions[language][0] for p in drawn}) >= len(drawn) - 1
        assert min(len(p.captions[language]) for p in drawn) >= 3
    assert max(len(c.split()) for p in drawn for c in p.captions["en"]) <= 25


@every_scene
def test_yes_and_no_answers_are_balanced(family: str) -> None:
    answers = [q.answer for p in scenes(family) for q in p.questions if q.answer in ("yes", "no")]
    assert 0.25 < answers.count("yes") / len(answers) < 0.75


def test_street_answers_match_its_vehicles() -> None:
    for scene in scenes("street"):
        vehicles = [t for t in scene.objects if t.label in VEHICLES]
        for q in questions_starting_with(scene, "How many vehicles"):
            assert q.answer == str(len(vehicles))
        for q in questions_starting_with(scene, "Is there a"):
            color, kind = q.question.rstrip("?").split()[-2:]
            there = any((t.label, t.attributes["colour"]) == (kind, color) for t in vehicles)
            assert q.answer == ("yes" if there else "no")
        assert all(t.attributes["colour"] in PAINTS for t in vehicles)


def test_street_daylight_and_timestamp_match_the_capture_time() -> None:
    for scene in scenes("street"):
        when = scene.captured_at
        assert isinstance(when, datetime)
        hours = {
            "day": range(7, 17),
            "evening": range(17, 20),
            "night": [*range(20, 24), *range(5)],
        }
        assert when.hour in hours[str(scene.metadata["daylight"])]
        assert f"{when.hour}:{when.minute:02d}" in scene.captions["en"][0]
        for scene_text in scene.texts:
            if scene_text.text.startswith("2026"):
                assert scene_text.text == when.strftime("%Y-%m-%d %H:%M")


def test_day_images_are_brighter_than_night_images() -> None:
    light: dict[object, list[float]] = {"day": [], "evening": [], "night": []}
    for scene in scenes("street"):
        mean = ImageStat.Stat(scene.image.convert("L")).mean[0]
        light[scene.metadata["daylight"]].append(mean)
    assert min(light["day"]) > sum(light["night"]) / len(light["night"])


def test_product_card_shows_price_number_and_brand() -> None:
    for scene in scenes("product"):
        texts = " ".join(r.text for r in scene.texts)
        for fact in ("price", "product_id", "brand"):
            assert str(scene.metadata[fact]) in texts
        (item,) = scene.objects
        assert f"{item.attributes['colour']} {item.label}" in scene.captions["en"][0]
        assert (
            questions_starting_with(scene, "What is the price")[0].answer == scene.metadata["price"]
        )


def test_room_relation_answers_match_the_boxes() -> None:
    for scene in scenes("room"):
        left = {t.label: t.box[0] for t in scene.objects if t.label != "window"}
        for q in questions_starting_with(scene, "What is just left of the"):
            of = q.question.removeprefix("What is just left of the ").rstrip("?")
            nearer = [x for x in left.values() if left[q.answer] < x < left[of]]
            assert left[q.answer] < left[of]
            assert not nearer
        for q in questions_starting_with(scene, "How many windows"):
            assert q.answer == str(sum(t.label == "window" for t in scene.objects))


def test_shape_relation_answers_match_the_boxes() -> None:
    for scene in scenes("shapes"):
        boxes = {f"{t.attributes['colour']} {t.label}": t.box for t in scene.objects}
        for q in questions_starting_with(scene, "Is the "):
            for axis, word in ((0, " left of the "), (1, " above the ")):
                if word in q.question:
                    a, b = q.question.removeprefix("Is the ").rstrip("?").split(word)
                    assert q.answer == ("yes" if boxes[a][axis] < boxes[b][axis] else "no")
        for q in questions_starting_with(scene, "How many shapes"):
            assert q.answer == str(len(scene.objects))
