"""The calibration fit and its error, on data with known coefficients."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image

from benchmarks.answers import calibration
from sightline.tools.answers.rating.confidence import FOLDER, Calibration


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


def test_the_diagram_is_an_image(tmp_path: Path) -> None:
    found = calibration.measure_reliability([0.2, 0.8], [False, True])
    calibration.draw_diagram(found, tmp_path / "r.png")
    with Image.open(tmp_path / "r.png") as image:
        assert min(image.size) > 300


def test_the_words_of_the_detector_are_those_of_its_training() -> None:
    path = files("sightline.tools.answers") / FOLDER / "builtin-detector.json"
    assert path.read_text(encoding="utf-8") == calibration.detector_vocabulary()
