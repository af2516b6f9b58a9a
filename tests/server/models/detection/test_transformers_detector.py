"""Loading code of OWLv2 and Grounding DINO, with tiny random checkpoints."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sightline.server.config.model_settings import DetectorSettings
from sightline.server.models.detection import load
from sightline.server.models.detection.loading import load_model
from sightline.storage.errors import ConfigurationError
from tests.support.random_detectors import write_grounding_dino, write_owlv2

PHRASES = ("the red van", "dog")


@pytest.mark.parametrize("write", [write_owlv2, write_grounding_dino])
async def test_a_folder_gives_boxes_of_each_phrase_in_fractions_of_the_picture(
    tmp_path: Path, write: Callable[[Path], Path]
) -> None:
    folder = write(tmp_path / "random")
    detector = load(DetectorSettings(model=f"local-dir:{folder}", device="cpu", threshold=0))
    try:
        assert detector.name == "local-dir:random"
        wide = detector.preprocess(Image.new("RGB", (2600, 1300), "red"))
        assert wide.shape == (640, 1280, 3)
        tall = detector.preprocess(Image.new("RGB", (40, 80), "blue"))
        rows = await detector.detect([wide, tall], PHRASES)
        for row in rows:
            assert {each.phrase for each in row} == set(PHRASES)
            corners = np.array([each.box for each in row])
            assert ((corners >= 0) & (corners <= 1)).all()
            assert (corners[:, 2:] > corners[:, :2]).all()
        [alone] = await detector.detect([wide], PHRASES[1:])
        both = [each for each in rows[0] if each.phrase == PHRASES[1]]
        assert np.allclose([e.box for e in alone], [e.box for e in both], atol=1e-4)
        assert np.allclose([e.score for e in alone], [e.score for e in both], atol=1e-4)
    finally:
        detector.close()


def test_a_folder_without_a_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"no config\.json"):
        load_model(f"local-dir:{tmp_path}", "cpu")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(ConfigurationError, match=r"is a .bert. model\. Use one of: owlv2"):
        load_model(f"local-dir:{tmp_path}", "cpu")


def test_a_folder_with_broken_weights_is_refused(tmp_path: Path) -> None:
    folder = write_owlv2(tmp_path / "random")
    (folder / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(ConfigurationError, match="cannot be loaded"):
        load_model(f"local-dir:{folder}", "cpu")
