"""The fit finds the coefficients that made the data, and the error is that of its definition."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks.answers import calibration
from sightline.server.evaluation.answers.answer_metrics import Score
from sightline.server.evaluation.answers.eval_questions import Question
from sightline.tools.answers.confidence import Calibration


def answers(rng: np.random.Generator, count: int) -> list[Score]:
    """Right with the probability that the second feature says, never mind the others."""
    asked = Question(question="?", answer="x", sources=["a"])
    found = []
    for _ in range(count):
        sure = float(rng.normal())
        right = bool(rng.random() < 1 / (1 + np.exp(-(0.5 + 2 * sure))))
        features = {"noise": float(rng.normal()), "sure": sure, "constant": 1.0}
        found.append(Score(asked, "answered", "x", right, 0.0, False, features=features))
    return found


def test_the_fit_recovers_what_the_answers_were_drawn_from() -> None:
    intercept, weights = calibration.fit(answers(np.random.default_rng(1), 4000))
    assert intercept == pytest.approx(0.5, abs=0.15)
    assert weights["sure"] == pytest.approx(2, abs=0.2)
    assert weights["noise"] == pytest.approx(0, abs=0.15)
    assert weights["constant"] == 0


def test_what_was_fitted_is_calibrated_on_answers_that_it_has_not_seen() -> None:
    rng = np.random.default_rng(2)
    intercept, weights = calibration.fit(answers(rng, 2000))
    fitted = Calibration("m", intercept, weights, {})
    unseen = answers(rng, 2000)
    sure = [fitted.confidence(each.features) for each in unseen]
    found = calibration.reliability(sure, [each.right for each in unseen])
    assert found.error < 0.05
    assert found.brier < 0.8 * found.base


def test_the_error_is_the_mean_distance_of_sureness_from_truth() -> None:
    # Four answers at 0.9 of which two are right, and four at 0.1 of which none is.
    found = calibration.reliability([0.9] * 4 + [0.1] * 4, [True, True, False, False] + [False] * 4)
    assert found.error == pytest.approx((4 * 0.4 + 4 * 0.1) / 8)
    assert [each.n for each in found.bins] == [4, 4]
    assert found.brier == pytest.approx((2 * 0.01 + 2 * 0.81 + 4 * 0.01) / 8)


def test_no_confidence_leaves_zero_to_one_however_far_a_feature_is() -> None:
    fitted = Calibration("m", 0.0, {"sure": 1.0}, {})
    assert 0 <= fitted.confidence({"sure": -1e9}) < fitted.confidence({"sure": 1e9}) <= 1


def test_a_file_that_is_written_says_how_it_was_made(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "m.json"
    calibration.write(path, "m", (0.123456789, {"sure": 1.0}), {"by": "a test"})
    data = json.loads(path.read_text(encoding="utf-8"))
    expected = {
        "model": "m",
        "made": {"by": "a test"},
        "intercept": 0.12346,
        "weights": {"sure": 1},
    }
    assert data == expected


def test_the_diagram_is_a_picture(tmp_path: Path) -> None:
    found = calibration.reliability([0.2, 0.8], [False, True])
    calibration.draw(found, tmp_path / "r.png")
    with Image.open(tmp_path / "r.png") as image:
        assert min(image.size) > 300
