"""The encoder that ships: read from its folder by open_clip, it finds pictures it never saw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sightline.training.encoder.evaluation import evaluate
from sightline.training.encoder.model import export
from sightline.training.encoder.model.towers import parameters
from sightline.training.encoder.recipe import NAME, model_config, preprocess_config

FOLDER = Path(__file__).parents[3] / "server" / "models" / "weights" / NAME
PICTURES = 90


@pytest.fixture(scope="module")
def figures() -> dict[str, Any]:
    return evaluate.evaluate(FOLDER, PICTURES, torch.device("cpu"))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("direction", ["text_to_image", "image_to_text"])
def test_it_finds_held_out_pictures_in_both_languages(
    figures: dict[str, Any], language: str, direction: str
) -> None:
    found = figures["trained"][language][direction]["all"]["at"]
    assert found[1] >= 0.6
    assert found[5] >= 0.9


def test_chinese_finds_nearly_as_much_as_english(figures: dict[str, Any]) -> None:
    english, chinese = (
        figures["trained"][language]["text_to_image"]["all"]["at"][5] for language in ("en", "zh")
    )
    assert chinese >= english - 0.05


@pytest.mark.parametrize("language", ["en", "zh"])
def test_most_of_what_a_short_query_brings_first_is_right(
    figures: dict[str, Any], language: str
) -> None:
    found = figures["trained"][language]["short_queries"]["all"]
    assert found["at"][3] >= 0.6
    assert found["at"][3] > 10 * found["chance"]


def test_its_untrained_twin_finds_nothing(figures: dict[str, Any]) -> None:
    found = figures["untrained"]["en"]["text_to_image"]["all"]
    assert found["at"][5] <= 4 * found["chance"][5]


def test_it_keeps_to_its_size() -> None:
    model, _, _ = export.load(FOLDER, torch.device("cpu"))
    assert parameters(model) <= 12_000_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 25_000_000


def test_its_configuration_is_the_one_that_training_builds() -> None:
    config = json.loads((FOLDER / export.CONFIG).read_text(encoding="utf-8"))
    assert config["model_cfg"] == model_config(config["model_cfg"]["text_cfg"]["vocab_size"])
    assert config["preprocess_cfg"] == preprocess_config()


def test_its_card_holds_the_figures_that_lie_beside_it() -> None:
    figures = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert evaluate.table(figures) in card
    assert "Real photographs are outside its world" in card
