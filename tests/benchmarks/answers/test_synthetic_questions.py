"""The questions of the drawn world's evaluation have answers, boxes and sources that are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.answers import synthetic_questions
from sightline.server.evaluation.answers.eval_questions import Question


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Question]]:
    folder = tmp_path_factory.mktemp("drawn")
    return folder, synthetic_questions.make(folder, "validation", pictures=9, each=8)


def test_every_question_is_about_a_picture_that_is_given_without_its_caption(
    made: tuple[Path, list[Question]],
) -> None:
    folder, questions = made
    names = {
        f"images/{path.name}" for path in (folder / synthetic_questions.ALBUM / "images").iterdir()
    }
    assert len(names) == 9
    assert {source for each in questions for source in each.sources} == names
    assert [path.name for path in (folder / synthetic_questions.ALBUM).iterdir()] == ["images"]
    assert len({each.id for each in questions}) == len(questions) == 72


def test_what_cannot_be_answered_and_what_is_a_place_are_told_apart(
    made: tuple[Path, list[Question]],
) -> None:
    questions = made[1]
    for each in questions:
        assert each.is_answerable == (each.groups["kind"] != "unanswerable")
        assert each.place == (each.groups["kind"] == "location")
        if each.box is not None:
            assert each.is_answerable
            assert each.box[0] < each.box[2]
            assert each.box[1] < each.box[3]
    assert {each.groups["language"] for each in questions} == {"en", "zh"}
    assert len({each.groups["kind"] for each in questions}) == 8


def test_the_same_call_draws_and_asks_the_same(
    made: tuple[Path, list[Question]], tmp_path: Path
) -> None:
    folder, questions = made
    assert synthetic_questions.make(tmp_path, "validation", pictures=9, each=8) == questions
    album = synthetic_questions.ALBUM
    for path in (folder / album / "images").iterdir():
        assert path.read_bytes() == (tmp_path / album / "images" / path.name).read_bytes()
    assert len(synthetic_questions.make(tmp_path, "validation", pictures=1, each=8)) == 8
    assert len(list((tmp_path / album / "images").iterdir())) == 1
