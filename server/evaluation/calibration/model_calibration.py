"""Calibrate the configured model on the questions of a run file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from sightline.server.evaluation.ablation import Condition, evaluate_questions
from sightline.server.evaluation.answer_metrics import EvalQuestion
from sightline.server.evaluation.calibration.confidence_fit import MIN_ANSWERS, calibrate
from sightline.server.evaluation.run_file import ProgressCallback, RunFileLine
from sightline.storage.errors import InvalidArgumentError, ModelUnavailableError
from sightline.tools.answers.rating.confidence import Calibration
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.vlm.phrase_grounding import NO_VLM

#: Folder of the calibrations in the data folder.
CALIBRATIONS: Final = "calibrations"
_CONDITIONS: Final[tuple[Condition, ...]] = ("oracle", "retrieved")


async def calibrate_model(
    deps: Dependencies,
    lines: Sequence[RunFileLine],
    collection: str | None,
    progress: ProgressCallback,
) -> Calibration:
    """Ask all questions under two conditions, and fit the confidence.

    Raises InvalidArgumentError for lines that are no questions, or too few, and ModelError if the
    model is not available.
    """
    if deps.vlm is None:
        raise ModelUnavailableError(NO_VLM)
    questions = [line.parse(EvalQuestion) for line in lines if "answer" in line.values]
    if len(_CONDITIONS) * len(questions) < MIN_ANSWERS:
        raise InvalidArgumentError(
            f"The file has {len(questions)} questions with an answer. Give at least "
            f"{MIN_ANSWERS // len(_CONDITIONS)}."
        )
    scores = await evaluate_questions(deps, questions, collection, progress, conditions=_CONDITIONS)
    pooled = [score for each in scores.values() for score in each]
    provenance = {"command": "sightline eval --calibrate", "conditions": list(_CONDITIONS)}
    return calibrate(deps.vlm.model, pooled, provenance)


def safe_name(model: str) -> str:
    """Return the name of a model as a file name."""
    return re.sub(r"[^A-Za-z0-9.-]+", "-", model).strip("-.")[:100] or "model"
