"""Present answer scores as a report section and as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import isnan
from typing import Any

from sightline.server.evaluation.ablation import Condition
from sightline.server.evaluation.answer_metrics import (
    AnswerScore,
    faithfulness_by_verdict,
    mean_ratings,
    summarize,
)
from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import Cell, Headline, ReportSection, ReportTable

_LABELS: dict[Condition, str] = {
    "oracle": "oracle evidence",
    "retrieved": "retrieved evidence",
    "closed_book": "closed book",
    "retrieved_no_about": "retrieved, subject unknown",
}
_TEXT = (
    "Each question was asked with the images that show its answer (oracle evidence), with evidence "
    "that Sightline retrieved, and without evidence (closed book). An answer is correct if it is "
    "an exact match, a location with an IoU of at least 0.5, or an abstention if there is no "
    "answer."
)

Scores = Mapping[Condition, Sequence[AnswerScore]]


def answer_section(scores: Scores) -> ReportSection:
    """Return all metrics by condition, claims by verdict, and accuracy by group."""
    metrics = {condition: summarize(each) for condition, each in scores.items()}
    verdicts: dict[Condition, Mapping[str, Estimate]] = {
        condition: faithfulness_by_verdict(each)
        for condition, each in scores.items()
        if condition != "closed_book"
    }
    ratings = {condition: mean_ratings(each) for condition, each in scores.items()}
    rated = [score.ratings is not None for each in scores.values() for score in each]
    note = f"{sum(rated)} of {len(rated)} answers were rated. A model's ratings can be wrong."
    blocks = [
        _table("All questions", metrics),
        replace(_table("Ratings by the judge model, 1 to 5", ratings), note=note, heatmap=False),
        _table("Faithful claims by verdict", verdicts),
        *_groups(scores),
    ]
    headlines = []
    for condition, found in metrics.items():
        accuracy = found["accuracy"]
        note = f"95% interval {accuracy.low:.2f} to {accuracy.high:.2f}"
        title = f"accuracy, {_LABELS[condition]}"
        headlines.append(Headline(title, f"{accuracy.value:.2f}", note))
    return ReportSection("Answers", [block for block in blocks if block.rows], _TEXT, headlines)


def answers_to_json(scores: Scores) -> dict[str, Any]:
    """Return all means with intervals, and every answer."""
    return {
        condition: {
            "metrics": {name: _to_json(each) for name, each in summarize(found).items()},
            "ratings": {name: _to_json(each) for name, each in mean_ratings(found).items()},
            "answers": [answer_to_json(score) for score in found],
        }
        for condition, found in scores.items()
    }


def answer_to_json(score: AnswerScore) -> dict[str, Any]:
    """Return a score as a dict; NaN becomes ``None``, because JSON has no NaN."""
    values = {**asdict(score), "question": score.question.model_dump()}
    return {
        name: None if isinstance(value, float) and isnan(value) else value
        for name, value in values.items()
    }


def _to_json(estimate: Estimate) -> dict[str, float | int | None]:
    values = asdict(estimate)
    return values if estimate.n else dict.fromkeys(values) | {"n": 0}


def _groups(scores: Scores) -> list[ReportTable]:
    questions = [each.question for each in next(iter(scores.values()))]
    tables = []
    for name in dict.fromkeys(name for each in questions for name in each.groups):
        accuracy = {
            condition: {
                value: summarize(
                    [each for each in answers if each.question.groups.get(name, "") == value]
                )["accuracy"]
                for value in sorted({each.groups.get(name, "") for each in questions})
            }
            for condition, answers in scores.items()
        }
        tables.append(_table(f"Accuracy by {name}", accuracy))
    return tables


def _table(title: str, by_condition: Mapping[Condition, Mapping[str, Estimate]]) -> ReportTable:
    """Return one row per metric; its name includes the number of answers."""
    rows: list[Sequence[Cell]] = []
    for name in dict.fromkeys(name for each in by_condition.values() for name in each):
        estimates = [each.get(name) for each in by_condition.values()]
        cells = [each if each is not None and each.n else None for each in estimates]
        counts = dict.fromkeys(str(each.n) for each in cells if each is not None)
        rows.append([f"{name} (n {', '.join(counts)})" if counts else name, *cells])
    columns = ["", *(_LABELS[condition] for condition in by_condition)]
    return ReportTable(title, columns, rows, heatmap=True)
