"""The benchmark sections of answer scores."""

from __future__ import annotations

import pytest

from benchmarks.answers.sections import threshold_section
from sightline.server.evaluation.answer_metrics import AnswerScore, EvalQuestion
from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import ReportTable


def scored(number: int, answer: str | None, confidence: float) -> AnswerScore:
    reference = "white" if number < 4 else "not shown"
    return AnswerScore(
        question=EvalQuestion(
            id=str(number), question="What color?", answer=reference, sources=["a.png"]
        ),
        status="answered" if answer else "not_shown",
        answer=answer,
        correct=answer == reference,
        vqa_accuracy=float(answer == reference),
        abstained=answer is None,
        confidence=confidence,
    )


def test_the_threshold_table_shows_the_effect_of_withholding_answers() -> None:
    scores = [
        scored(0, "white", 0.9),
        scored(1, "white", 0.45),
        scored(2, "red", 0.35),
        scored(3, None, 0.05),  # Abstained already.
        scored(4, "red", 0.15),
    ]
    (table,) = threshold_section(scores).blocks
    assert isinstance(table, ReportTable)
    rows = {
        row[0]: [cell.value for cell in row[1:] if isinstance(cell, Estimate)] for row in table.rows
    }
    names = list(table.columns[1:])
    for threshold, accuracy, answer_rate, precision, recall in (
        ("0.0", 2 / 5, 4 / 5, 0, 0),
        ("0.2", 3 / 5, 3 / 5, 1 / 2, 1),
        ("0.4", 3 / 5, 2 / 5, 1 / 3, 1),
        ("0.5", 2 / 5, 1 / 5, 1 / 4, 1),
    ):
        found = dict(zip(names, rows[threshold], strict=True))
        assert found["accuracy"] == pytest.approx(accuracy)
        assert found["answer rate"] == pytest.approx(answer_rate)
        assert found["abstention precision"] == pytest.approx(precision)
        assert found["abstention recall"] == pytest.approx(recall)
    assert dict(zip(names, rows["0.5"], strict=True))["accuracy when answered"] == 1
