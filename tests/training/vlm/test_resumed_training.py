"""Tests of continued training from an exported model."""

from __future__ import annotations

import copy
import json
import random
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.__main__ import main
from sightline.training.vlm.data.album import QuestionAnswer
from sightline.training.vlm.data.batches import collate
from sightline.training.vlm.data.packing import Packer
from sightline.training.vlm.data.patch_targets import TargetVocabulary, build_targets
from sightline.training.vlm.model.llava import build_model
from sightline.training.vlm.stages import vision_tower as towers
from sightline.training.vlm.stages.language_model import TrainingModel
from sightline.training.vlm.stages.projector_alignment import FrozenProjector, align
from sightline.training.vlm.stages.vision_tower import to_pixel_values, tower_features, train_tower
from tests.support.training_records import RECORDS, TINY

CPU = torch.device("cpu")
WORDS = TargetVocabulary(["", "van"], {"colour": ["white", "red"]}, ["", "H", "1"])
SQUARES = np.random.default_rng(0).integers(0, 255, (3, 32, 32, 3), np.uint8)


@pytest.fixture
def fresh(tokenizer: PreTrainedTokenizerFast) -> LlavaForConditionalGeneration:
    torch.manual_seed(0)
    return build_model(TINY, tokenizer)


def weights(module: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def moved(module: nn.Module, before: dict[str, torch.Tensor]) -> bool:
    return any(not torch.equal(before[n], v) for n, v in module.state_dict().items())


@pytest.mark.parametrize("heads_first", [10**6, 0])
def test_pretrained_tower_is_frozen_until_new_heads_are_trained(
    fresh: LlavaForConditionalGeneration,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    heads_first: int,
) -> None:
    monkeypatch.setattr(towers, "_HEADS_FIRST_STEPS", heads_first)
    (tmp_path / "words.json").write_text(json.dumps(asdict(WORDS)))
    tower = fresh.model.vision_tower
    before = weights(tower)
    questions = [
        QuestionAnswer("attribute", "en", "Day or night?", light, None)
        for light in ("day", "night")
    ]
    records = [replace(RECORDS[0], questions=[questions[n % 2]]) for n in range(20)]
    squares = SQUARES[[n % 2 for n in range(20)]]
    train_tower(
        tower,
        squares,
        records,
        (squares, records),
        folder=tmp_path,
        seconds=0.3,
        side=TINY.side,
        device=CPU,
        fresh=False,
    )
    assert moved(tower, before) is (heads_first == 0)
    assert json.loads((tmp_path / "tower.json").read_text())["steps"] >= 1


def test_keep_tower_requires_start(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as refused:
        main(["train", "--keep-tower"])
    assert refused.value.code == 2
    assert "--keep-tower needs --start" in capsys.readouterr().err


def test_alignment_restores_projector_outputs_after_a_tower_change(
    fresh: LlavaForConditionalGeneration, tmp_path: Path
) -> None:
    before = FrozenProjector.of(fresh)
    with torch.no_grad():
        for weight in fresh.model.vision_tower.parameters():
            weight.add_(torch.randn_like(weight), alpha=0.3 * float(weight.std()))
    values = to_pixel_values(SQUARES, CPU)

    def gap() -> float:
        with torch.no_grad():
            seen = tower_features(fresh.model.vision_tower, values)
            said = fresh.model.multi_modal_projector(seen)
            goal = before.embed_pixels(range(3), values)
            return float((said - goal).square().mean() / goal.square().mean())

    apart, language = gap(), weights(fresh.model.language_model)
    tower = weights(fresh.model.vision_tower)
    targets = build_targets(RECORDS, WORDS, TINY.side)
    align(
        TrainingModel(fresh, SQUARES, CPU), before.embed_pixels, targets, folder=tmp_path, seconds=3
    )
    assert gap() < 0.5 * apart
    assert not moved(fresh.model.language_model, language)
    assert not moved(fresh.model.vision_tower, tower)


def test_frozen_tower_has_no_gradient_but_the_projector_has(
    fresh: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast
) -> None:
    packer = Packer(tokenizer, RECORDS, TINY.patches)
    batch = collate([packer.pack(random.Random(0), 0, "picture")], 0)
    for frozen in (True, False):
        one = copy.deepcopy(fresh)
        one.requires_grad_(requires_grad=True)
        TrainingModel(one, SQUARES, CPU).forward(batch, frozen=frozen).last.sum().backward()
        tower = one.model.vision_tower.get_input_embeddings().weight.grad
        assert (tower is None) is frozen
        assert one.model.multi_modal_projector.linear_1.weight.grad is not None
