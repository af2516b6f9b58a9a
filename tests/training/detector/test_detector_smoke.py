"""The whole training in small: draw, train, resume, export, evaluate, and run in the server."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from sightline.server.models.detection.builtin_detector import BuiltinDetector
from sightline.server.models.image_text.image_text_encoder import BUILTIN_FOLDER
from sightline.training.detector.__main__ import main

pytestmark = pytest.mark.slow


def test_a_small_run_learns_resumes_and_gives_a_folder_that_the_server_loads(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = ["--runs", str(tmp_path), "--encoder", str(BUILTIN_FOLDER), "--smoke", "--threads", "1"]
    assert main(["export", *runs]) == 2
    assert "train first" in capsys.readouterr().err
    assert main(["train", *runs, "--steps", "30"]) == 0
    assert main([*runs]) == 0
    training = json.loads((tmp_path / "weights" / "training.json").read_text())
    curve = training["curve"]
    assert [point["step"] for point in curve] == [30, 60]
    assert curve[-1]["iou"] > 0.5
    assert curve[-1]["ap"] > curve[0]["ap"] > 0
    figures = json.loads((tmp_path / "weights" / "figures.json").read_text())
    assert 0 < figures["ap50"]["all"] <= 1
    assert "## Limits" in (tmp_path / "weights" / "MODEL_CARD.md").read_text()
    detector = BuiltinDetector(tmp_path / "weights", device="cpu", threads=1)
    blank = np.full((160, 160, 3), 128, np.uint8)
    assert detector.detect([(blank, ("van", "车辆"))]) is not None
