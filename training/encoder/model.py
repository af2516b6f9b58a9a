"""Both towers, built from the recipe as open_clip's factory would build them."""

from __future__ import annotations

from open_clip.model import CustomTextCLIP

from sightline.training.encoder.recipe import model_config


def build(vocabulary: int) -> CustomTextCLIP:
    """The model with random weights (from torch's global generator)."""
    config = {k: v for k, v in model_config(vocabulary).items() if k != "custom_text"}
    return CustomTextCLIP(**config)


def parameters(model: CustomTextCLIP) -> int:
    """How many numbers the model has learnt."""
    return sum(p.numel() for p in model.parameters())
