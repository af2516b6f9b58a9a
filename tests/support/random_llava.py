"""Writes a small LLaVA with random weights."""

from __future__ import annotations

from pathlib import Path

from sightline.training.vlm.data.tokenizer import train_tokenizer
from sightline.training.vlm.model.export import export_model
from sightline.training.vlm.model.llava import Shape, build_model

TINY = Shape(
    edge=32,
    patch=16,
    vision_width=64,
    vision_layers=1,
    text_width=64,
    text_mlp=64,
    text_layers=2,
    vocabulary=300,
)


def write(folder: Path, shape: Shape = TINY) -> Path:
    """Write the model to ``folder``, with the same weights each time."""
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(3)
    tokenizer = train_tokenizer(["What color is the white van?", "红色的车在哪里？"] * 5, 300)
    export_model(build_model(shape, tokenizer), tokenizer, shape, folder)
    return folder
