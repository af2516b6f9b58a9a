"""The drawn scenes: streets, product cards, rooms and plain shapes."""

from __future__ import annotations

from datetime import datetime
from functools import cache
from typing import get_args

import pytest
from PIL import ImageStat

from sightline.training.world.core.picture import NOT_SHOWN, Picture, Question, QuestionKind
from sightline.training.world.core.splits import is_unseen, seed_of
from sightline.training.world.families import draw
from sightline.training.world.fonts import is_chinese
from sightline.training.world.street.scene import PAINTS
from sightline.training.world.street.vehicles import VEHICLES

SCENES = ("street", "product", "room", "shapes")
every_scene = pytest.mark.parametrize("family", SCENES)


@cache
def pictures(family: str, count: int = 60) -> list[Picture]:
    return [draw(family, seed_of("test", i), "test") for i in range(count)]


def asked(picture: Picture, opening: str) -> list[Question]:
    return [q for q in picture.questions if q.language == "en" and q.question.startswith(opening)]


@every_scene
def test_the_same_seed_draws_the_same_bytes(family: str) -> None:
    first, second = (draw(family, 11, "train") for _ in range(2))
    assert first.image.tobytes() == second.image.tobytes()
    assert first.captions == second.captions
    assert first.questions == second.questions
    assert draw(family, 12, "train").image.tobytes() != first.image.tobytes()


@every_scene
def test_boxes_lie_inside_the_picture_and_hold_ink(family: str) -> None:
    for picture in pictures(family):
        width, height = picture.image.size
        things = [thing.box for thing in picture.things]
        others = [reading.box for reading in picture.readings]
        others += [question.box for question in picture.questions if question.box]
        for x0, y0, x1, y1 in things + others:
            assert 0 <= x0 < x1 <= width
            assert 0 <= y0 < y1 <= height
        for box in things:
            part = picture.image.crop(box).convert("L")
            assert ImageStat.Stat(part).stddev[0] > 4, picture.seed


@every_scene
def test_unseen_combinations_occur_in_the_test_split_alone(family: str) -> None:
    for split in ("train", "validation"):
        drawn = [draw(family, seed_of(split, i), split) for i in range(15)]
        assert not any(p.unseen or is_unseen(p.combination) for p in drawn)
    assert {p.unseen for p in pictures(family)} == {True, False}


@every_scene
def test_every_kind_of_question_is_asked_in_both_languages(family: str) -> None:
    for language in ("en", "zh"):
        kinds = {q.kind for p in pictures(family) for q in p.questions if q.language == language}
        assert kinds == set(get_args(QuestionKind))


@every_scene
def test_a_question_has_one_answer_and_is_asked_once(family: str) -> None:
    for picture in pictures(family):
        assert 12 <= len(picture.questions) <= 60
        questions = [q.question for q in picture.questions]
        assert len(questions) == len(set(questions)), picture.seed
        for q in picture.questions:
            assert (q.answer == NOT_SHOWN[q.language]) == (q.kind == "unanswerable")
            assert q.kind != "location" or q.box
            assert q.kind != "unanswerable" or q.box is None
            assert q.kind == "location" or len(q.answer.split()) <= 2
            assert is_chinese(q.question) == (q.language == "zh")


@every_scene
def test_captions_are_short_and_the_first_tells_pictures_apart(family: str) -> None:
    drawn = pictures(family)
    for language in ("en", "zh"):
        assert len({p.captions[language][0] for p in drawn}) >= len(drawn) - 1
        assert min(len(p.captions[language]) for p in drawn) >= 3
    assert max(len(c.split()) for p in drawn for c in p.captions["en"]) <= 25


@every_scene
def test_yes_and_no_are_both_common_answers(family: str) -> None:
    answers = [q.answer for p in pictures(family) for q in p.questions if q.answer in ("yes", "no")]
    assert 0.25 < answers.count("yes") / len(answers) < 0.75


def test_a_street_counts_what_stands_in_it() -> None:
    for picture in pictures("street"):
        vehicles = [t for t in picture.things if t.label in VEHICLES]
        for q in asked(picture, "How many vehicles"):
            assert q.answer == str(len(vehicles))
        for q in asked(picture, "Is there a"):
            colour, kind = q.question.rstrip("?").split()[-2:]
            there = any((t.label, t.attributes["colour"]) == (kind, colour) for t in vehicles)
            assert q.answer == ("yes" if there else "no")
        assert all(t.attributes["colour"] in PAINTS for t in vehicles)


def test_the_daylight_of_a_street_fits_the_hour_and_the_hour_what_is_shown() -> None:
    for picture in pictures("street"):
        when = picture.captured_at
        assert isinstance(when, datetime)
        hours = {
            "day": range(7, 17),
            "evening": range(17, 20),
            "night": [*range(20, 24), *range(5)],
        }
        assert when.hour in hours[str(picture.metadata["daylight"])]
        assert f"{when.hour}:{when.minute:02d}" in picture.captions["en"][0]
        for reading in picture.readings:
            if reading.text.startswith("2026"):
                assert reading.text == when.strftime("%Y-%m-%d %H:%M")


def test_a_picture_taken_by_day_is_brighter_than_one_taken_at_night() -> None:
    light: dict[object, list[float]] = {"day": [], "evening": [], "night": []}
    for picture in pictures("street"):
        mean = ImageStat.Stat(picture.image.convert("L")).mean[0]
        light[picture.metadata["daylight"]].append(mean)
    assert min(light["day"]) > sum(light["night"]) / len(light["night"])


def test_a_product_card_shows_its_price_number_and_brand() -> None:
    for picture in pictures("product"):
        texts = " ".join(r.text for r in picture.readings)
        for fact in ("price", "product_id", "brand"):
            assert str(picture.metadata[fact]) in texts
        (item,) = picture.things
        assert f"{item.attributes['colour']} {item.label}" in picture.captions["en"][0]
        assert asked(picture, "What is the price")[0].answer == picture.metadata["price"]


def test_neighbours_in_a_room_stand_as_the_question_says() -> None:
    for picture in pictures("room"):
        left = {t.label: t.box[0] for t in picture.things if t.label != "window"}
        for q in asked(picture, "What is just left of the"):
            of = q.question.removeprefix("What is just left of the ").rstrip("?")
            nearer = [x for x in left.values() if left[q.answer] < x < left[of]]
            assert left[q.answer] < left[of]
            assert not nearer
        for q in asked(picture, "How many windows"):
            assert q.answer == str(sum(t.label == "window" for t in picture.things))


def test_shapes_stand_in_the_relation_that_is_told() -> None:
    for picture in pictures("shapes"):
        boxes = {f"{t.attributes['colour']} {t.label}": t.box for t in picture.things}
        for q in asked(picture, "Is the "):
            for axis, word in ((0, " left of the "), (1, " above the ")):
                if word in q.question:
                    a, b = q.question.removeprefix("Is the ").rstrip("?").split(word)
                    assert q.answer == ("yes" if boxes[a][axis] < boxes[b][axis] else "no")
        for q in asked(picture, "How many shapes"):
            assert q.answer == str(len(picture.things))
