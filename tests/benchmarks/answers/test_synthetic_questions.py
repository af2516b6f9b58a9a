"""Synthetic questions have valid answers, boxes and sources."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.answers import synthetic_questions
from sightline.server.evaluation.answer_metrics import EvalQuestion


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[EvalQuestion]]:
    folder = tmp_path_factory.mktemp("synthetic")
    return folder, synthetic_questions.create(folder, "validation", images=9, per_image=8)


def test_every_question_is_about_an_image_without_a_caption(
    album: tuple[Path, list[EvalQuestion]],
) -> None:
    folder, questions = album
    names = {
        f"images/{path.name}" for path in (folder / synthetic_questions.ALBUM / "images").iterdir()
    }
    assert len(names) == 9
    assert {source for each in questions for source in each.sources} == names
    assert [path.name for path in (folder / synthetic_questions.ALBUM).iterdir()] == ["images"]
    assert len({each.id for each in questions}) == len(questions) == 72


def test_unanswerable_questions_and_locations_are_marked(
    album: tuple[Path, list[EvalQuestion]],
) -> None:
    questions = album[1]
    for each in questions:
        assert each.is_answerable == (each.groups["kind"] != "unanswerable")
        assert each.answer_is_box == (each.groups["kind"] == "location")
        if each.box is not None:
            assert each.is_answerable
            assert each.box[0] < each.box[2]
            assert each.box[1] < each.box[3]
    assert {each.groups["language"] for each in questions} == {"en", "zh"}
    assert len({each.groups["kind"] for each in questions}) == 8


def test_the_same_arguments_give_the_same_album_and_questions(
    album: tuple[Path, list[EvalQuestion]], tmp_path: Path
) -> None:
    folder, questions = album
    assert synthetic_questions.create(tmp_path, "validation", images=9, per_image=8) == questions
    name = synthetic_questions.ALBUM
    for path in (folder / name / "images").iterdir():
        assert path.read_bytes() == (tmp_path / name / "images" / path.name).read_bytes()
    assert len(synthetic_questions.create(tmp_path, "validation", images=1, per_image=8)) == 8
    assert len(list((tmp_path / name / "images").iterdir())) == 1


def test_reworded_questions_keep_their_answers(
    album: tuple[Path, list[EvalQuestion]], tmp_path: Path
) -> None:
    reworded = synthetic_questions.create(
        tmp_path, "validation", images=9, per_image=8, reworded=1.0
    )
    pairs = list(zip(album[1], reworded, strict=True))
    assert all(a.model_copy(update={"question": b.question}) == b for a, b in pairs)
    assert sum(a.question != b.question for a, b in pairs) > 60
