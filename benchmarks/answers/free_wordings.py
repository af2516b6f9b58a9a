"""Handwritten questions in free wording about test images, with known answers.

``data/free_wordings.jsonl`` has 300 questions in English, Chinese and a mix of both. No template
and no grammar of ``sightline.training`` produced them. Each is bound to a test image by family and
number. ``same_as`` is the question of the image that asks the same; it proves the answer and gives
its box. Questions without it have no answer in the image.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict

from sightline.server.evaluation.answer_metrics import NOT_SHOWN, AnswerScore, EvalQuestion
from sightline.server.evaluation.report_model import Cell, ReportSection, ReportTable
from sightline.storage.errors import InvalidArgumentError
from sightline.training.world.core.scene import Language, Question, Scene
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import draw

ALBUM: Final = "album"
COLLECTION: Final = "free-wordings"
QUESTIONS: Final = Path(__file__).parent / "data" / "free_wordings.jsonl"
_GROUPS: Final = ("kind", "family", "language", "style")


class FreeQuestion(BaseModel):
    """One row of the file.

    ``number`` counts the images of the test split. Questions of language ``mixed`` accept the
    answer in either language.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    family: str
    number: int
    kind: str
    language: Language | Literal["mixed"]
    style: Literal["plain", "typos", "mixed"]
    question: str
    answer: str | list[str]
    same_as: str | None = None

    @property
    def file_name(self) -> str:
        """Name of the image in the album."""
        return f"{self.family}-{self.number}.jpg"


def load() -> list[FreeQuestion]:
    """Load all questions."""
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    return [FreeQuestion.model_validate_json(line) for line in lines]


@cache
def scene_of(family: str, number: int) -> Scene:
    """Draw the image of a question."""
    return draw(family, seed_of("test", number), "test")


def create(folder: Path) -> list[EvalQuestion]:
    """Render the images into ``folder/album`` and return all questions."""
    album = folder / ALBUM
    shutil.rmtree(album, ignore_errors=True)
    album.mkdir(parents=True)
    questions = []
    for number, row in enumerate(load()):
        scene = scene_of(row.family, row.number)
        if not (album / row.file_name).exists():
            quality = int(scene.metadata["jpeg_quality"])
            scene.image.convert("RGB").save(album / row.file_name, quality=quality)
        questions.append(_eval_question(number, row, scene))
    return questions


def _eval_question(number: int, row: FreeQuestion, scene: Scene) -> EvalQuestion:
    same = _same_question(row, scene)
    box = None
    if same is not None and same.box is not None:
        x0, y0, x1, y1 = same.box
        width, height = scene.image.size
        corners = (x0 / width, y0 / height, x1 / width, y1 / height)
        box = [min(max(value, 0.0), 1.0) for value in corners]
    caption_language: Language = "en" if row.language == "mixed" else row.language
    return EvalQuestion(
        id=f"free-{number:03d}",
        question=row.question,
        answer=row.answer,
        about=scene.captions[caption_language][0],
        sources=[row.file_name],
        box=box,
        answer_is_box=row.kind == "location",
        topic=row.file_name,
        groups={name: getattr(row, name) for name in _GROUPS},
    )


def _same_question(row: FreeQuestion, scene: Scene) -> Question | None:
    """Return the question of the scene that proves the answer."""
    answers = {row.answer} if isinstance(row.answer, str) else set(row.answer)
    if row.same_as is None:
        if not answers <= NOT_SHOWN:
            raise InvalidArgumentError(f"{row.question!r} needs same_as, which proves its answer.")
        return None
    for question in scene.questions:
        if question.question == row.same_as and question.answer in answers:
            return question
    raise InvalidArgumentError(
        f"{row.file_name} does not ask {row.same_as!r} with the answer {row.answer!r}."
    )


def section(title: str, scores: Sequence[AnswerScore]) -> ReportSection:
    """Return the shares of right answers, overall and by group."""
    rows: list[Sequence[Cell]] = [_row("all", scores)]
    for name in _GROUPS:
        for value in sorted({each.question.groups[name] for each in scores}):
            members = [each for each in scores if each.question.groups[name] == value]
            rows.append(_row(f"{name}: {value}", members))
    names = ["questions", "answerable", "right", "answered", "right of answered", "not shown right"]
    return ReportSection(title, [ReportTable("Free wordings", ["", *names], rows)])


def _row(name: str, scores: Sequence[AnswerScore]) -> Sequence[Cell]:
    answerable = [each for each in scores if each.question.is_answerable]
    answered = [each for each in scores if each.status == "answered"]
    others = [each for each in scores if not each.question.is_answerable]
    return [
        name,
        len(scores),
        len(answerable),
        _share(each.correct for each in answerable),
        len(answered),
        _share(each.correct for each in answered),
        _share(each.correct for each in others),
    ]


def _share(flags: Iterable[bool]) -> str:
    listed = list(flags)
    return f"{sum(listed) / len(listed):.3f}" if listed else "-"


def dump(scores: Sequence[AnswerScore]) -> str:
    """Return the answers as JSON lines, wrong ones first."""
    ordered = sorted(scores, key=lambda each: each.correct)
    return "".join(
        json.dumps(
            {
                "question": each.question.question,
                "expected": each.question.answer,
                "answer": each.answer,
                "status": each.status,
                "correct": each.correct,
                "confidence": each.confidence,
                **each.question.groups,
            },
            ensure_ascii=False,
        )
        + "\n"
        for each in ordered
    )
