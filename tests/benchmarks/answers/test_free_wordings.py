"""Handwritten questions are bound to test images that prove their answers."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.answers import free_wordings
from benchmarks.answers.free_wordings import FreeQuestion
from sightline.server.evaluation.answer_metrics import AnswerScore, EvalQuestion
from sightline.server.evaluation.report_model import EvalReport, render_markdown
from sightline.storage.errors import InvalidArgumentError
from sightline.training.world.families import FAMILIES

ROW = FreeQuestion(
    family="street",
    number=910_000,
    kind="reading",
    language="en",
    style="plain",
    question="What's the time?",
    answer="9:00",
    same_as="What time is shown?",
)


@pytest.fixture(scope="module")
def album(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[EvalQuestion]]:
    folder = tmp_path_factory.mktemp("free")
    return folder / free_wordings.ALBUM, free_wordings.create(folder)


def test_all_questions_are_bound_to_an_image(album: tuple[Path, list[EvalQuestion]]) -> None:
    folder, questions = album
    assert len(questions) == len({each.question for each in questions}) == 300
    assert {name for each in questions for name in each.sources} == {
        path.name for path in folder.iterdir()
    }
    for each in questions:
        assert each.is_answerable == (each.groups["kind"] != "unanswerable")
        assert each.answer_is_box == (each.groups["kind"] == "location")


def test_families_kinds_and_languages_are_balanced() -> None:
    rows = free_wordings.load()
    families = Counter(each.family for each in rows)
    assert set(families) == set(FAMILIES)
    assert min(families.values()) >= 30
    assert min(Counter(each.kind for each in rows).values()) >= 25
    languages = Counter(each.language for each in rows)
    assert min(languages["en"], languages["zh"]) >= 130
    assert languages["mixed"] >= 10


def test_no_question_has_the_wording_of_the_generator() -> None:
    for row in free_wordings.load():
        scene = free_wordings.scene_of(row.family, row.number)
        assert row.question not in {each.question for each in scene.questions}


def test_a_question_without_proof_is_rejected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for change in ({"answer": "9:05"}, {"same_as": "Who?"}, {"same_as": None}):
        changed = ROW.model_copy(update=change)
        monkeypatch.setattr(free_wordings, "load", lambda row=changed: [row])
        with pytest.raises(InvalidArgumentError, match=r"same_as|does not ask"):
            free_wordings.create(tmp_path)


def test_the_report_separates_answered_and_unanswerable(
    album: tuple[Path, list[EvalQuestion]],
) -> None:
    questions = album[1]
    answerable = next(each for each in questions if each.is_answerable)
    other = next(each for each in questions if not each.is_answerable)
    scores = [
        AnswerScore(answerable, "answered", "9:00", True, 1.0, False),
        AnswerScore(answerable, "not_shown", None, False, 0.0, True),
        AnswerScore(other, "answered", "red", False, 0.0, False),
        AnswerScore(other, "not_shown", None, True, 1.0, True),
    ]
    report = render_markdown(EvalReport("", [], [free_wordings.section("oracle", scores)]))
    assert "| all | 4 | 2 | 0.500 | 2 | 0.500 | 0.500 |" in report
    lines = free_wordings.dump(scores).splitlines()
    assert ['"correct": false' in line for line in lines] == [True, True, False, False]
