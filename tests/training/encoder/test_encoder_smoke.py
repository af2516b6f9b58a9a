"""Smoke test of the complete encoder training."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from sightline.storage.picture_reference import FILE_NAME, PictureReference
from sightline.training.encoder.recipe import EMBED_DIM
from sightline.training.world.families import FAMILIES

TOWER = Path(__file__).parents[3] / "server" / "models" / "weights" / "builtin-llava"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def command(runs: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    smoke = ["--smoke", "--threads", "1", "--runs", str(runs), "--device", "cpu"]
    smoke += ["--tower", str(TOWER)]
    return subprocess.run(
        [sys.executable, "-m", "sightline.training.encoder", *arguments, *smoke],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("encoder")
    broken_off = command(folder, "train", "--steps", "20")
    assert broken_off.returncode == 0, broken_off.stderr
    done = command(folder)
    assert done.returncode == 0, done.stderr
    assert "resumed at step 20" in done.stderr
    return folder


def read(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def test_loss_decreases(runs: Path) -> None:
    curve = read(runs / "curve.json")
    assert [point["step"] for point in curve] == [20, 40, 60]
    assert curve[-1]["loss"] < 0.9 * curve[0]["loss"]


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("direction", ["text_to_image", "image_to_text"])
def test_metrics_exceed_chance_and_the_untrained_model(
    runs: Path, language: str, direction: str
) -> None:
    figures = read(runs / "weights" / "figures.json")
    trained = figures["trained"][language][direction]["all"]
    untrained = figures["untrained"][language][direction]["all"]
    assert trained["at"]["5"] > 3 * trained["chance"]["5"]
    assert trained["at"]["5"] > 2 * untrained["at"]["5"]


@pytest.mark.parametrize("language", ["en", "zh"])
def test_second_stage_improves_short_queries(runs: Path, language: str) -> None:
    curve = read(runs / "weights" / "training.json")["queries"]["curve"]
    # Without training, the metrics of this stage would not change.
    assert curve[-1][f"{language}_p3"] > 1.05 * curve[0][f"{language}_p3"]
    figures = read(runs / "weights" / "figures.json")
    trained, untrained = (
        figures[key][language]["short_queries"]["all"] for key in ("trained", "untrained")
    )
    assert trained["at"]["3"] > 3 * trained["chance"]
    assert trained["at"]["3"] > 2 * untrained["at"]["3"]


def test_open_clip_loads_the_exported_folder(runs: Path) -> None:
    name = f"local-dir:{runs / 'weights'}"
    model, _ = open_clip.create_model_from_pretrained(name)
    tokens = open_clip.get_tokenizer(name)(["a red car", "红色的车"])
    with torch.no_grad():
        vectors = model.eval().encode_text(tokens, normalize=True)
    assert vectors.shape == (2, EMBED_DIM)
    torch.testing.assert_close(vectors.norm(dim=-1), torch.ones(2))


def test_the_reference_of_known_pictures_lies_beside_the_weights(runs: Path) -> None:
    data = (runs / "weights" / FILE_NAME).read_bytes()
    assert PictureReference.from_bytes(data).means.shape == (len(FAMILIES), EMBED_DIM)


def test_model_card_has_required_statements(runs: Path) -> None:
    card = (runs / "weights" / "MODEL_CARD.md").read_text(encoding="utf-8")
    for needed in ("real photographs are out of domain", "untrained twin", "chance", "fp16"):
        assert needed in card


def test_checkpoint_of_another_recipe_is_rejected(runs: Path) -> None:
    refused = command(runs, "train", "--batch", "27")
    assert refused.returncode == 2
    assert "another recipe (batch)" in refused.stderr
