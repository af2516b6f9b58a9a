"""The confidence and its thresholds are fitted to answers with known truth."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.answers import calibration
from sightline.server.evaluation.answer_metrics import AnswerScore, EvalQuestion
from sightline.server.evaluation.calibration import confidence_fit
from sightline.server.evaluation.calibration.confidence_fit import (
    calibrate,
    choose_thresholds,
    choose_trusted,
)
from sightline.storage.errors import InvalidArgumentError
from sightline.tools.answers.rating.confidence import Calibration, parse_calibration


def answers(rng: np.random.Generator, count: int) -> list[AnswerScore]:
    """Return answers that are correct with a probability given by `certainty`."""
    question = EvalQuestion(question="?", answer="x", sources=["a"])
    found = []
    for _ in range(count):
        certainty = float(rng.normal())
        correct = bool(rng.random() < 1 / (1 + np.exp(-(0.5 + 2 * certainty))))
        features = {"noise": float(rng.normal()), "certainty": certainty, "constant": 1.0}
        found.append(
            AnswerScore(
                question,
                "answered",
                "x",
                correct,
                0.0,
                False,
                features=features,
                draft_correct=correct,
            )
        )
    return found


def test_the_fit_recovers_the_true_coefficients() -> None:
    intercept, weights = confidence_fit.fit(answers(np.random.default_rng(1), 4000))
    assert intercept == pytest.approx(0.5, abs=0.15)
    assert weights["certainty"] == pytest.approx(2, abs=0.2)
    assert weights["noise"] == pytest.approx(0, abs=0.15)
    assert weights["constant"] == 0


def test_the_fit_is_calibrated_on_new_answers() -> None:
    rng = np.random.default_rng(2)
    intercept, weights = confidence_fit.fit(answers(rng, 2000))
    fitted = Calibration("m", intercept, weights, {})
    unseen = answers(rng, 2000)
    confidences = [fitted.confidence(each.features) for each in unseen]
    found = calibration.measure_reliability(confidences, [each.correct for each in unseen])
    assert found.calibration_error < 0.05
    assert found.brier < 0.8 * found.baseline_brier


#: The confidence of an answer is its chance.
CHANCE = Calibration("m", 0.0, {"chance": 1.0}, {})


def drafts(rows: list[tuple[float, bool, bool, bool]]) -> list[AnswerScore]:
    """Return answers by their chance, and whether they are right, backed and denied."""
    question = EvalQuestion(question="?", answer="x", sources=["a"])
    return [
        AnswerScore(
            question,
            "answered",
            "x",
            right,
            0.0,
            False,
            draft_correct=right,
            features={
                "not_shown": 0.0,
                "backed": float(backed),
                "denied": float(denied),
                "chance": math.log(chance / (1 - chance)),
            },
        )
        for chance, right, backed, denied in rows
    ]


def test_support_needs_a_chance_from_which_supported_claims_are_right() -> None:
    rows = [(0.9, True, True, False)] * 60 + [(0.5, False, True, False)] * 10
    found = choose_thresholds(drafts(rows), CHANCE)
    assert found.supported == pytest.approx(0.9)


def test_denied_claims_are_contradicted_while_most_of_them_are_wrong() -> None:
    rows = [(0.1, False, False, True)] * 10 + [(0.7, True, False, True)] * 10
    rows += [(0.95, True, False, False)] * 100
    found = choose_thresholds(drafts(rows), CHANCE)
    assert found.contradicted == pytest.approx(0.1)


def test_checks_that_are_always_right_are_trusted() -> None:
    rows = [(0.5, True, True, False)] * 40 + [(0.5, False, True, False)] * 4
    found = drafts(rows)
    for each in found[:20]:
        each.features["count supported"] = 1.0
    for each in found[20:]:
        each.features["location supported"] = 1.0
    for each in found[:3]:
        each.features["relation contradicted"] = 1.0
    trusted = choose_trusted(found)
    assert {"count supported", "count contradicted"} <= trusted
    assert not {"location supported", "relation contradicted"} & trusted
    # A trusted check is not withheld by a low chance, and the others need none of its claims.
    fitted = replace(CHANCE, trusted=trusted)
    assert choose_thresholds(found, fitted).supported == 1.0


def test_few_right_answers_are_withheld() -> None:
    rows = [(0.3, False, False, False)] * 20 + [(0.4, True, False, False)] * 2
    rows += [(0.6, True, False, False)] * 20 + [(0.9, True, False, False)] * 78
    found = choose_thresholds(drafts(rows), CHANCE)
    # Those of 0.4 are 2% of the right ones, those of 0.6 would be 22%.
    assert found.answered == pytest.approx(0.6)


def test_a_calibration_is_read_as_it_was_written() -> None:
    fitted = calibrate("m/x", answers(np.random.default_rng(1), 200), {"command": "a"}, ["van"])
    read = parse_calibration(confidence_fit.to_json(fitted))
    assert (read.model, read.provenance["answers"]) == ("m/x", 200)
    assert read.known_words == {"van"}
    assert read.intercept == pytest.approx(fitted.intercept, abs=1e-4)
    assert read.thresholds.answered == pytest.approx(fitted.thresholds.answered, abs=1e-4)


@pytest.mark.parametrize("text", ["{}", '{"model": "m"}', "[]", "x"])
def test_a_broken_calibration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_calibration(text)


def test_too_few_answers_are_refused() -> None:
    with pytest.raises(InvalidArgumentError, match="not enough to calibrate"):
        calibrate("m", answers(np.random.default_rng(1), 10), {})
