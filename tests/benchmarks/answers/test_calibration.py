"""The calibration fit and its error, on data with known coefficients."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.answers import calibration
from sightline.server.evaluation.answer_metrics import AnswerScore, EvalQuestion
from sightline.tools.answers.confidence import Calibration


def answers(rng: np.random.Generator, count: int) -> list[AnswerScore]:
    """Return answers that are correct with a probability given by `certainty`."""
    question = EvalQuestion(question="?", answer="x", sources=["a"])
    found = []
    for _ in range(count):
        certainty = float(rng.normal())
        correct = bool(rng.random() < 1 / (1 + np.exp(-(0.5 + 2 * certainty))))
        features = {"noise": float(rng.normal()), "certainty": certainty, "constant": 1.0}
        found.append(AnswerScore(question, "answered", "x", correct, 0.0, False, features=features))
    return found


def test_the_fit_recovers_the_true_coefficients() -> None:
    intercept, weights = calibration.fit(answers(np.random.default_rng(1), 4000))
    assert intercept == pytest.approx(0.5, abs=0.15)
    assert weights["certainty"] == pytest.approx(2, abs=0.2)
    assert weights["noise"] == pytest.approx(0, abs=0.15)
    assert weights["constant"] == 0


def test_the_fit_is_calibrated_on_new_answers() -> None:
    rng = np.random.default_rng(2)
    intercept, weights = calibration.fit(answers(rng, 2000))
    fitted = Calibration("m", intercept, weights, {})
    unseen = answers(rng, 2000)
    confidences = [fitted.confidence(each.features) for each in unseen]
    found = calibration.measure_reliability(confidences, [each.correct for each in unseen])
    assert found.calibration_error < 0.05
    assert found.brier < 0.8 * found.baseline_brier


def test_the_calibration_error_is_the_mean_difference_of_confidence_and_accuracy() -> None:
    # Two of four answers at 0.9 are correct, and none of four at 0.1.
    found = calibration.measure_reliability(
        [0.9] * 4 + [0.1] * 4, [True, True, False, False] + [False] * 4
    )
    assert found.calibration_error == pytest.approx((4 * 0.4 + 4 * 0.1) / 8)
    assert [each.n for each in found.bins] == [4, 4]
    assert found.brier == pytest.approx((2 * 0.01 + 2 * 0.81 + 4 * 0.01) / 8)


def test_the_confidence_is_between_0_and_1_for_extreme_features() -> None:
    fitted = Calibration("m", 0.0, {"sure": 1.0}, {})
    assert 0 <= fitted.confidence({"sure": -1e9}) < fitted.confidence({"sure": 1e9}) <= 1


def test_the_file_records_how_the_calibration_was_made(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "m.json"
    calibration.write_calibration(path, "m", (0.123456789, {"sure": 1.0}), {"command": "a test"})
    data = json.loads(path.read_text(encoding="utf-8"))
    expected = {
        "model": "m",
        "provenance": {"command": "a test"},
        "intercept": 0.12346,
        "weights": {"sure": 1},
    }
    assert data == expected


def test_the_diagram_is_an_image(tmp_path: Path) -> None:
    found = calibration.measure_reliability([0.2, 0.8], [False, True])
    calibration.draw_diagram(found, tmp_path / "r.png")
    with Image.open(tmp_path / "r.png") as image:
        assert min(image.size) > 300
