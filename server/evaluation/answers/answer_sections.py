"""Figures of answers as a section of a report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from math import isnan
from typing import Any

from benchmarks.answers.calibration import Reliability
from benchmarks.answers.injection_benchmark import Where
from sightline.server.evaluation.answers.ablation import Setting
from sightline.server.evaluation.answers.answer_metrics import Score
from sightline.server.evaluation.answers.answer_totals import by_verdict, marks, totals
from sightline.server.evaluation.bootstrap import Estimate
from sightline.server.evaluation.report_model import Cell, Headline, Section, Table

_NAMES: dict[Setting, str] = {
    "given": "evidence given",
    "sightline": "found by Sightline",
    "none": "no evidence",
    "unsaid": "found, not told which",
}
_TEXT = (
    "Each question was asked with the pictures that show its answer given, with evidence that "
    "Sightline found itself, and of the model alone. Right is an exact answer, a place with an IoU "
    "of 0.5 or more, or no answer where there is none."
)

_ABSTENTION = ("abstention precision", "abstention recall", "abstention F1")
_THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)

Scores = Mapping[Setting, Sequence[Score]]


def section(scores: Scores) -> Section:
    """All figures by setting, claims by verdict, and what is right by group."""
    parts = [_figures(scores), *_marks(scores), _verdicts(scores), *_groups(scores)]
    headlines = []
    for setting, found in scores.items():
        right = totals(found)["right"]
        note = f"{right.low:.2f} to {right.high:.2f}"
        headlines.append(Headline(f"right, {_NAMES[setting]}", f"{right.value:.2f}", note))
    return Section("Answers", [part for part in parts if part.rows], _TEXT, headlines)


def confidence(found: Reliability) -> Section:
    """How well the confidence of answers holds."""
    rows: list[Sequence[Cell]] = [
        [f"{each.confidence:.2f}", f"{each.right:.2f}", each.n] for each in found.bins
    ]
    text = (
        f"Of {found.n} answers: expected calibration error {found.error:.3f}, Brier score "
        f"{found.brier:.3f} (always giving the share that is right: {found.base:.3f})."
    )
    table = Table("Reliability", ["confidence", "answers that are right", "answers"], rows)
    return Section("Confidence", [table], text)


def thresholds(scores: Sequence[Score]) -> Section:
    """What withholding the answers that are less sure than a threshold would do."""
    names = ("right", "answered", "right where answered", *_ABSTENTION)
    rows: list[Sequence[Cell]] = []
    for least in _THRESHOLDS:
        found = totals([_withheld(each, least) for each in scores])
        rows.append([f"{least:.1f}", *(found[name] for name in names)])
    text = "What SIGHTLINE_ANSWER_LEAST_CONFIDENCE would do to these answers."
    table = Table("Answers withheld", ["least confidence", *names], rows)
    return Section("Thresholds", [table], text)


def _withheld(score: Score, least: float) -> Score:
    if score.status != "answered" or score.confidence is None or score.confidence >= least:
        return score
    return replace(score, abstained=True, right=not score.question.is_answerable)


def turned(rates: Mapping[Where, Mapping[str, int]]) -> Section:
    """How often orders were followed, by where they stand."""
    columns = ("cases", "turned", "withheld", "supported", "told")
    head = ["order stands in", "cases", "turned", "withheld", "with support", "warned of"]
    body: list[Sequence[Cell]] = [
        [where, *(counts[name] for name in columns)] for where, counts in rates.items()
    ]
    return Section("Orders in the evidence", [Table("Answers turned", head, body)])


def as_json(scores: Scores) -> dict[str, Any]:
    """Every mean with its interval, and every answer."""
    return {
        setting: {
            "figures": {name: _plain(each) for name, each in totals(found).items()},
            "marks": {name: _plain(each) for name, each in marks(found).items()},
            "answers": [_answer(score) for score in found],
        }
        for setting, found in scores.items()
    }


def rows(scores: Scores) -> str:
    """Every answer as a line of JSON."""
    return "".join(
        json.dumps({"setting": setting, **answer}, ensure_ascii=False) + "\n"
        for setting, found in as_json(scores).items()
        for answer in found["answers"]
    )


def _answer(score: Score) -> dict[str, Any]:
    """The answer with its question; what does not apply is null, for JSON has no other word."""
    told = {**asdict(score), "question": score.question.model_dump()}
    return {
        name: None if isinstance(value, float) and isnan(value) else value
        for name, value in told.items()
    }


def _figures(scores: Scores) -> Table:
    figures = {setting: totals(each) for setting, each in scores.items()}
    names = dict.fromkeys(name for each in figures.values() for name in each)
    return _table("All questions", names, figures)


def _marks(scores: Scores) -> list[Table]:
    figures = {setting: marks(each) for setting, each in scores.items()}
    if not any(figures.values()):
        return []
    names = dict.fromkeys(name for each in figures.values() for name in each)
    table = _table("A judge's marks, 1 to 5", names, figures)
    asked = sum(map(len, scores.values()))
    marked = sum(score.marks is not None for each in scores.values() for score in each)
    note = f"{marked} of {asked} answers were marked; a model's marks are no truth."
    return [replace(table, note=note, shaded=False)]


def _verdicts(scores: Scores) -> Table:
    shares: dict[Setting, Mapping[str, Estimate]] = {
        setting: by_verdict(each) for setting, each in scores.items() if setting != "none"
    }
    names = dict.fromkeys(name for each in shares.values() for name in each)
    return _table("Claims that are right, by verdict", names, shares)


def _groups(scores: Scores) -> list[Table]:
    first = next(iter(scores.values()))
    tables = []
    for name in dict.fromkeys(name for each in first for name in each.question.groups):
        values = sorted({each.question.groups.get(name, "") for each in first})
        right = {
            setting: {value: _right(each, name, value) for value in values}
            for setting, each in scores.items()
        }
        tables.append(_table(f"Answers that are right, by {name}", values, right))
    return tables


def _right(scores: Sequence[Score], group: str, value: str) -> Estimate:
    return totals([s for s in scores if s.question.groups.get(group, "") == value])["right"]


def _table(
    title: str,
    names: Sequence[str] | Mapping[str, Any],
    by: Mapping[Setting, Mapping[str, Estimate]],
) -> Table:
    """A row a figure; how many answers each rests on stands behind its name."""
    body: list[Sequence[Cell]] = []
    for name in names:
        found = [each.get(name) for each in by.values()]
        counts = dict.fromkeys(str(each.n) for each in found if each is not None and each.n)
        cells = [each if each is not None and each.n else None for each in found]
        body.append([f"{name} (n {', '.join(counts)})" if counts else name, *cells])
    return Table(title, ["", *(_NAMES[setting] for setting in by)], body, shaded=True)


def _plain(each: Estimate) -> dict[str, float | int | None]:
    if not each.n:
        return {"value": None, "low": None, "high": None, "n": 0}
    return {"value": each.value, "low": each.low, "high": each.high, "n": each.n}
