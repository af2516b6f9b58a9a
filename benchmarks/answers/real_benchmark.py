"""Ask the built-in model about real pictures, which it does not know.

The pictures are not in the repository; ``data/real_questions.jsonl`` has questions about them, with
the file names below the folder that is given.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.answers import album_tools
from sightline.server.evaluation.ablation import evaluate_questions
from sightline.server.evaluation.answer_metrics import AnswerScore, EvalQuestion
from sightline.server.evaluation.run_file import ProgressCallback

COLLECTION = "real-answers"
QUESTIONS = Path(__file__).with_name("data") / "real_questions.jsonl"


def load_questions() -> list[EvalQuestion]:
    """Return the questions about the real pictures."""
    lines = QUESTIONS.read_text(encoding="utf-8").splitlines()
    return [EvalQuestion.model_validate(json.loads(line)) for line in lines]


async def ask_questions(
    folder: Path, pictures: Path, progress: ProgressCallback
) -> Sequence[AnswerScore]:
    """Copy the pictures below ``folder``, and return the scores of all questions."""
    questions = load_questions()
    album = folder / "real-album"
    for name in {name for each in questions for name in each.sources}:
        (album / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(pictures / name, album / name)
    async with album_tools.open_dependencies(folder, album, COLLECTION) as deps:
        scores = await evaluate_questions(
            deps, questions, COLLECTION, progress, conditions=["oracle"]
        )
    return scores["oracle"]


def count_outcomes(scores: Sequence[AnswerScore]) -> Mapping[str, Mapping[str, int]]:
    """Return the numbers of outcomes by material."""
    materials = sorted({each.question.groups["material"] for each in scores})
    return {
        name: _count([s for s in scores if s.question.groups["material"] == name])
        for name in materials
    } | {"all": _count(scores)}


def _count(scores: Sequence[AnswerScore]) -> dict[str, int]:
    answered = [each for each in scores if each.status == "answered"]
    verdicts = [found for each in scores for found in each.verdicts]
    return {
        "questions": len(scores),
        "answered": len(answered),
        "answered correctly": sum(each.correct for each in answered),
        "uncertain": sum(each.status == "uncertain" for each in scores),
        "right, but uncertain": sum(e.withheld and e.draft_correct for e in scores),
        "not shown": sum(each.status == "not_shown" for each in scores),
        "supported": sum(verdict == "supported" for verdict, _ in verdicts),
        "wrongly supported": sum(v == "supported" and not right for v, right in verdicts),
    }
