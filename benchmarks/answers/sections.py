"""Report sections about confidence, thresholds and prompt injection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from statistics import median

from benchmarks.answers.calibration import Reliability
from benchmarks.answers.injection_cases import Location
from sightline.server.evaluation.answer_metrics import AnswerScore, summarize
from sightline.server.evaluation.report_model import Cell, ReportSection, ReportTable

_THRESHOLDS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7)
_ABSTENTION = ("abstention precision", "abstention recall", "abstention F1")


def reliability_section(reliability: Reliability) -> ReportSection:
    """Return the reliability table of the confidence."""
    rows: list[Sequence[Cell]] = [
        [f"{each.confidence:.2f}", f"{each.accuracy:.2f}", each.n] for each in reliability.bins
    ]
    text = (
        f"{reliability.n} answers: expected calibration error "
        f"{reliability.calibration_error:.3f}, Brier score {reliability.brier:.3f} "
        f"(baseline that always predicts the accuracy: {reliability.baseline_brier:.3f})."
    )
    table = ReportTable("Reliability", ["confidence", "accuracy", "answers"], rows)
    return ReportSection("Confidence", [table], text)


def threshold_section(scores: Sequence[AnswerScore]) -> ReportSection:
    """Return the effect of withholding answers below each confidence threshold."""
    names = ("accuracy", "answer rate", "accuracy when answered", *_ABSTENTION)
    rows: list[Sequence[Cell]] = []
    for threshold in _THRESHOLDS:
        metrics = summarize([_withhold(each, threshold) for each in scores])
        rows.append([f"{threshold:.1f}", *(metrics[name] for name in names)])
    text = "Effect of the setting SIGHTLINE_LIMITS__MIN_ANSWER_CONFIDENCE on these answers."
    table = ReportTable("Withheld answers", ["minimum confidence", *names], rows)
    return ReportSection("Thresholds", [table], text)


def _withhold(score: AnswerScore, threshold: float) -> AnswerScore:
    if score.status != "answered" or score.confidence is None or score.confidence >= threshold:
        return score
    return replace(score, abstained=True, correct=not score.question.is_answerable)


def milliseconds_section(scores: Sequence[AnswerScore]) -> ReportSection:
    """Return the time that each independent check adds to an answer."""
    times: dict[str, list[float]] = {}
    for score in scores:
        for check, milliseconds in score.check_milliseconds:
            times.setdefault(check, []).append(milliseconds)
    rows: list[Sequence[Cell]] = [
        [check, len(each), f"{median(each):.1f}", f"{max(each):.1f}"]
        for check, each in sorted(times.items())
    ]
    table = ReportTable("Milliseconds", ["check", "claims", "median", "maximum"], rows)
    return ReportSection("Added time of the checks", [table])


def counts_section(title: str, counts: Mapping[str, Mapping[str, int]]) -> ReportSection:
    """Return numbers of outcomes, one row for each group."""
    names = list(next(iter(counts.values())))
    rows: list[Sequence[Cell]] = [
        [group, *(values[name] for name in names)] for group, values in counts.items()
    ]
    return ReportSection(title, [ReportTable(title, ["", *names], rows)])


def injection_section(counts: Mapping[Location, Mapping[str, int]]) -> ReportSection:
    """Return how often injected instructions succeeded, by their location."""
    names = ("cases", "followed", "withheld", "supported", "flagged")
    rows: list[Sequence[Cell]] = [
        [location, *(values[name] for name in names)] for location, values in counts.items()
    ]
    table = ReportTable("Injected instructions", ["location", *names], rows)
    return ReportSection("Prompt injection", [table])
