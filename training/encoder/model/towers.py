"""Both towers, built from the recipe as open_clip's factory would build them, and where they start.

The picture tower starts as the one of builtin-llava, which was taught the truth of every patch and
so sees things and colours from the first step. Pairs of pictures and captions alone take ten times
as long to teach that, and never teach which colour is whose.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import torch
from open_clip.model import CustomTextCLIP
from safetensors import safe_open
from torch import Tensor, nn

from sightline.storage.errors import ConfigurationError
from sightline.training.encoder.recipe import model_config

_LLAVA: Final = "vision_tower.vision_model."
_NORMS: Final = {"layer_norm1": "ln_1", "layer_norm2": "ln_2"}
_MAPS: Final = {
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
}


def build(vocabulary: int) -> CustomTextCLIP:
    """The model with random weights (from torch's global generator)."""
    config = {k: v for k, v in model_config(vocabulary).items() if k != "custom_text"}
    return CustomTextCLIP(**config)


def parameters(model: CustomTextCLIP) -> int:
    """How many numbers the model has learnt."""
    return sum(p.numel() for p in model.parameters())


def trunk(model: CustomTextCLIP) -> Iterator[nn.Parameter]:
    """What ``take_tower`` sets of the picture tower: all but the pooler and what follows."""
    yield model.visual.conv1.weight
    yield model.visual.positional_embedding
    yield from model.visual.transformer.parameters()


@torch.no_grad()
def take_tower(model: CustomTextCLIP, folder: Path) -> None:
    """Set the picture tower to the vision tower of the LLaVA in ``folder``, as ``vlm`` exports it.

    The class token, which that tower lacks, starts as nothing at all. Raises
    ``ConfigurationError`` where there is no such tower or it has another shape.
    """
    path = folder / "model.safetensors"
    if not path.exists():
        raise ConfigurationError(f"no LLaVA in {str(folder)!r}: {path.name} is not there")
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith(_LLAVA)]  # noqa: SIM118
        found = {name.removeprefix(_LLAVA): file.get_tensor(name).float() for name in names}
    visual = model.visual
    state = visual.state_dict()
    taken = dict(_renamed(found, len(visual.transformer.resblocks)))
    wrong = [name for name, value in taken.items() if value.shape != state[name].shape]
    if wrong or not found:
        raise ConfigurationError(
            f"the vision tower in {str(folder)!r} is not of the recipe's shape ({wrong[:3]})"
        )
    visual.load_state_dict(state | taken)
    visual.class_embedding.zero_()


@torch.no_grad()
def take_text(model: CustomTextCLIP, folder: Path) -> None:
    """Set the text tower to that of the encoder in ``folder``, which has the same tokenizer.

    Raises ``ConfigurationError`` where it has another shape.
    """
    path = folder / "open_clip_model.safetensors"
    if not path.exists():
        raise ConfigurationError(f"no encoder in {str(folder)!r}: {path.name} is not there")
    with safe_open(path, "pt") as file:
        names = [name for name in file.keys() if name.startswith("text.")]  # noqa: SIM118
        found = {name.removeprefix("text."): file.get_tensor(name).float() for name in names}
    state = model.text.state_dict()
    wrong = sorted(
        name for name in state if name not in found or found[name].shape != state[name].shape
    )
    if wrong:
        raise ConfigurationError(
            f"the text tower in {str(folder)!r} is not of the recipe's shape ({wrong[:3]})"
        )
    model.text.load_state_dict(found)


def _renamed(found: dict[str, Tensor], layers: int) -> Iterator[tuple[str, Tensor]]:
    """SigLIP's weights under open_clip's names; patches have no bias there, places take it over."""
    yield "conv1.weight", found["embeddings.patch_embedding.weight"]
    places = found["embeddings.position_embedding.weight"]
    places = places + found["embeddings.patch_embedding.bias"]
    yield "positional_embedding", torch.cat([torch.zeros(1, places.shape[1]), places])
    for index in range(layers):
        theirs, ours = f"encoder.layers.{index}.", f"transformer.resblocks.{index}."
        for part in ("weight", "bias"):
            attention = [f"{theirs}self_attn.{name}_proj.{part}" for name in "qkv"]
            yield f"{ours}attn.in_proj_{part}", torch.cat([found[name] for name in attention])
            for their, our in (_NORMS | _MAPS).items():
                yield f"{ours}{our}.{part}", found[f"{theirs}{their}.{part}"]
