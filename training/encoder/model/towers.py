"""Build both towers as open_clip's factory does, and initialize them.

The image tower starts with the weights of builtin-llava, which was trained with patch labels and
recognizes objects and colors. Image-caption pairs alone need ten times as long for this and do not
teach which color belongs to which object.
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
    """Create the model with random weights (torch's global generator)."""
    config = {k: v for k, v in model_config(vocabulary).items() if k != "custom_text"}
    return CustomTextCLIP(**config)


def parameters(model: CustomTextCLIP) -> int:
    """Return the number of parameters."""
    return sum(p.numel() for p in model.parameters())


def trunk(model: CustomTextCLIP) -> Iterator[nn.Parameter]:
    """Return the parameters that ``take_tower`` sets: all but the pooler and later layers."""
    yield model.visual.conv1.weight
    yield model.visual.positional_embedding
    yield from model.visual.transformer.parameters()


@torch.no_grad()
def take_tower(model: CustomTextCLIP, folder: Path) -> None:
    """Load the vision tower of the LLaVA in ``folder`` into the image tower.

    The class token, which that tower does not have, starts at zero. Raises ``ConfigurationError``
    if there is no such tower or its shape differs.
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
    """Load the text tower of the encoder in ``folder``, which has the same tokenizer.

    Raises ``ConfigurationError`` if its shape differs.
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
    """Map SigLIP weights to open_clip names; the patch bias moves to the positions."""
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
