"""Tests of albums and of the exported model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.data.album import open_album
from sightline.training.vlm.data.drawing import draw_album
from sightline.training.vlm.model.export import export_model
from sightline.training.vlm.model.llava import build_model
from sightline.training.vlm.recipe import load_weights
from tests.support.training_records import TINY


def test_album_contains_images_and_crops(tmp_path: Path) -> None:
    draw_album(tmp_path / "album", "train", 9, crops=1.0, edge=64)
    squares, records = open_album(tmp_path / "album", 64)
    assert squares.shape == (len(records), 64, 64, 3)
    wholes = [record for record in records if not record.crop]
    assert len(wholes) == 9
    assert len({record.family for record in wholes}) == 9
    boxes = [item.box for record in records for item in record.items]
    assert all(0 <= value <= 1 for box in boxes for value in box)
    crops = [record for record in records if record.crop]
    assert crops
    assert {qa.answer for crop in crops for qa in crop.questions} == {"yes", "no"}


def test_exported_folder_has_the_same_weights_with_standard_names(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    export_model(model, tokenizer, TINY, tmp_path / "model")
    again = LlavaForConditionalGeneration.from_pretrained(tmp_path / "model", dtype=torch.float32)
    for (name, weight), (other, loaded) in zip(
        sorted(model.state_dict().items()), sorted(again.state_dict().items()), strict=True
    ):
        assert name == other
        assert torch.allclose(weight, loaded, atol=2e-3)
    raw = (tmp_path / "model" / "model.safetensors").read_bytes()
    assert b"vision_tower.vision_model.encoder" in raw[:20_000]
    processor = AutoProcessor.from_pretrained(tmp_path / "model")
    picture = Image.new("RGB", (32, 32), "red")
    given = processor(images=[picture], text="<image>\nWhat?", return_tensors="pt")
    assert given["pixel_values"].shape == (1, 3, 32, 32)
    assert int((given["input_ids"] == again.config.image_token_id).sum()) == TINY.patches


def test_weights_of_another_shape_are_rejected(
    model: LlavaForConditionalGeneration, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    export_model(model, tokenizer, TINY, tmp_path / "model")
    found = load_weights(tmp_path / "model", model)
    assert torch.allclose(found["lm_head.weight"], model.lm_head.weight, atol=2e-3)
    wider = build_model(replace(TINY, text_mlp=96), tokenizer)
    with pytest.raises(ValueError, match="expected"):
        load_weights(tmp_path / "model", wider)
