"""Tests of the committed encoder, loaded by open_clip."""

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
def test_retrieval_of_held_out_images_in_both_languages(
    figures: dict[str, Any], language: str, direction: str
) -> None:
    found = figures["trained"][language][direction]["all"]["at"]
    assert found[1] >= 0.6
    assert found[5] >= 0.9


def test_chinese_recall_is_close_to_english(figures: dict[str, Any]) -> None:
    english, chinese = (
        figures["trained"][language]["text_to_image"]["all"]["at"][5] for language in ("en", "zh")
    )
    assert chinese >= english - 0.05


@pytest.mark.parametrize("language", ["en", "zh"])
def test_short_queries_have_high_precision(figures: dict[str, Any], language: str) -> None:
    found = figures["trained"][language]["short_queries"]["all"]
    assert found["at"][3] >= 0.6
    assert found["at"][3] > 10 * found["chance"]


def test_untrained_model_is_at_chance_level(figures: dict[str, Any]) -> None:
    found = figures["untrained"]["en"]["text_to_image"]["all"]
    assert found["at"][5] <= 4 * found["chance"][5]


def test_folder_size_is_limited() -> None:
    model, _, _ = export.load(FOLDER, torch.device("cpu"))
    assert parameters(model) <= 12_000_000
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) <= 25_000_000


def test_configuration_equals_the_training_configuration() -> None:
    config = json.loads((FOLDER / export.CONFIG).read_text(encoding="utf-8"))
    assert config["model_cfg"] == model_config(config["model_cfg"]["text_cfg"]["vocab_size"])
    assert config["preprocess_cfg"] == preprocess_config()


def test_model_card_contains_the_stored_metrics() -> None:
    figures = json.loads((FOLDER / "figures.json").read_text(encoding="utf-8"))
    card = (FOLDER / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert evaluate.table(figures) in card
    assert "real photographs are out of domain" in card
