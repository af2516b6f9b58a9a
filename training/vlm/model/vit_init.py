"""Structured initialization of the vision tower.

A randomly initialized transformer needs many images until patches attend to their neighbors, which
is necessary to recognize shapes. So the first heads of each layer start as shifts: the position
embedding consists of sines and cosines, and their rotation is a step to a neighbor.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
import torch
from torch import Tensor
from transformers import SiglipVisionModel

from sightline.training.vlm.data.album import Squares
from sightline.training.vlm.model.llava import HEAD

#: Initial shifts (down, across) of the heads in even and odd layers.
_STRAIGHT_SHIFTS: Final = ((0, 1), (0, -1), (1, 0), (-1, 0))
_DIAGONAL_SHIFTS: Final = ((1, 1), (1, -1), (-1, 1), (-1, -1))
_MAX_IMAGES: Final = 256
#: Sharpness of shift heads, and of the other heads (attention to similar patches).
_SHIFT_SHARPNESS: Final = 2.4
_SIMILARITY_SHARPNESS: Final = 0.5


@torch.no_grad()
def init_tower(tower: SiglipVisionModel, squares: Squares) -> None:
    """Initialize embeddings, queries and keys of ``tower``.

    The last ``HEAD`` channels contain only the position. Most other channels are whitened principal
    components of patches of ``squares``; the rest stays random.
    """
    config = tower.config
    side = config.image_size // config.patch_size
    position = tower.get_submodule("embeddings.position_embedding").weight
    position.mul_(0.1)
    position[:, -HEAD:] = _position_codes(side)
    _init_patch_embedding(tower, squares)
    for index, layer in enumerate(tower.get_submodule("encoder.layers").children()):
        query = layer.get_submodule("self_attn.q_proj").weight
        key = layer.get_submodule("self_attn.k_proj").weight
        steps = _STRAIGHT_SHIFTS if index % 2 == 0 else _DIAGONAL_SHIFTS
        for head in range(config.num_attention_heads):
            rows = slice(head * HEAD, (head + 1) * HEAD)
            if head < len(steps):
                query[rows, -HEAD:] = _SHIFT_SHARPNESS * _shift(side, *steps[head])
                key[rows, -HEAD:] = _SHIFT_SHARPNESS * torch.eye(HEAD)
            else:
                similar = torch.randn(HEAD, query.shape[1] - HEAD) * query.shape[1] ** -0.5
                query[rows, :-HEAD] = key[rows, :-HEAD] = _SIMILARITY_SHARPNESS * similar


def _frequencies(side: int) -> Tensor:
    """Return the frequencies of a row or column code: (HEAD / 4,)."""
    return torch.arange(1, HEAD // 4 + 1) * (math.pi / side)


def _position_codes(side: int) -> Tensor:
    """Return the position codes (side * side, HEAD) in row order."""
    angles = torch.arange(side)[:, None] * _frequencies(side)
    code = torch.cat([angles.sin(), angles.cos()], 1)
    return torch.cat([code.repeat_interleave(side, 0), code.repeat(side, 1)], 1)


def _shift(side: int, down: int, across: int) -> Tensor:
    """Return the rotation (HEAD, HEAD) from a position code to its neighbor."""
    blocks = []
    for step in (down, across):
        turn = step * _frequencies(side)
        sine, cosine = torch.diag(turn.sin()), torch.diag(turn.cos())
        blocks.append(torch.cat([torch.cat([cosine, sine], 1), torch.cat([-sine, cosine], 1)]))
    rotation: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return rotation


def _init_patch_embedding(tower: SiglipVisionModel, squares: Squares) -> None:
    size = tower.config.patch_size
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(squares), min(_MAX_IMAGES, len(squares)), replace=False))
    sample = torch.from_numpy(np.array(squares[rows])).permute(0, 3, 1, 2).float() / 127.5 - 1.0
    patches = sample.unfold(2, size, size).unfold(3, size, size)
    flat = patches.permute(0, 2, 3, 1, 4, 5).reshape(-1, 3 * size * size)
    weight = tower.get_input_embeddings().weight
    content = weight.shape[0] - HEAD
    _, spread, directions = torch.pca_lowrank(flat, q=min(content * 3 // 4, 128))
    unit = directions.T / (spread[:, None] / len(flat) ** 0.5)
    weight[: len(unit)] = 0.5 * unit.reshape(len(unit), *weight.shape[1:]).to(weight.device)
    weight[-HEAD:] = 0.0
    bias = tower.get_input_embeddings().bias
    if bias is not None:
        bias[-HEAD:] = 0.0
