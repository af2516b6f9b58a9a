"""Where the vision tower starts: it sees colours, knows its places, and looks at its neighbours.

A transformer that starts at random needs very many pictures before its patches find their
neighbours, without which no shape is seen. So the first of each layer's heads begin as shifts: the
position embedding is made of sines and cosines, and a rotation of those is a step to the side.
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

#: The steps (down, across) that the heads of even and of odd layers begin with.
_BESIDE: Final = ((0, 1), (0, -1), (1, 0), (-1, 0))
_ACROSS: Final = ((1, 1), (1, -1), (-1, 1), (-1, -1))
_SAMPLE: Final = 256
#: How sharply a shift attends to its one patch, and a free head to patches like its own.
_SHARP: Final = 2.4
_ALIKE: Final = 0.5


@torch.no_grad()
def start_tower(tower: SiglipVisionModel, squares: Squares) -> None:
    """Set the embeddings and the queries and keys of ``tower`` as the module says.

    The last ``HEAD`` channels hold the place alone. Of the others, most become the principal
    components of patches of ``squares`` with equal variance; the rest stay random.
    """
    config = tower.config
    side = config.image_size // config.patch_size
    place = tower.get_submodule("embeddings.position_embedding").weight
    place.mul_(0.1)
    place[:, -HEAD:] = _places(side)
    _see_colours(tower, squares)
    for index, layer in enumerate(tower.get_submodule("encoder.layers").children()):
        query = layer.get_submodule("self_attn.q_proj").weight
        key = layer.get_submodule("self_attn.k_proj").weight
        steps = _BESIDE if index % 2 == 0 else _ACROSS
        for head in range(config.num_attention_heads):
            rows = slice(head * HEAD, (head + 1) * HEAD)
            if head < len(steps):
                query[rows, -HEAD:] = _SHARP * _shift(side, *steps[head])
                key[rows, -HEAD:] = _SHARP * torch.eye(HEAD)
            else:
                alike = torch.randn(HEAD, query.shape[1] - HEAD) * query.shape[1] ** -0.5
                query[rows, :-HEAD] = key[rows, :-HEAD] = _ALIKE * alike


def _waves(side: int) -> Tensor:
    """The frequencies of a row's or column's code: (HEAD / 4,)."""
    return torch.arange(1, HEAD // 4 + 1) * (math.pi / side)


def _places(side: int) -> Tensor:
    """The code of every place, row by row: (side * side, HEAD); sines, cosines, down, across."""
    angles = torch.arange(side)[:, None] * _waves(side)
    code = torch.cat([angles.sin(), angles.cos()], 1)
    return torch.cat([code.repeat_interleave(side, 0), code.repeat(side, 1)], 1)


def _shift(side: int, down: int, across: int) -> Tensor:
    """The (HEAD, HEAD) rotation that turns a place's code into that of the place a step away."""
    blocks = []
    for step in (down, across):
        turn = step * _waves(side)
        sine, cosine = torch.diag(turn.sin()), torch.diag(turn.cos())
        blocks.append(torch.cat([torch.cat([cosine, sine], 1), torch.cat([-sine, cosine], 1)]))
    turned: Tensor = torch.block_diag(*blocks)  # type: ignore[no-untyped-call]
    return turned


def _see_colours(tower: SiglipVisionModel, squares: Squares) -> None:
    size = tower.config.patch_size
    rng = np.random.default_rng(0)
    rows = np.sort(rng.choice(len(squares), min(_SAMPLE, len(squares)), replace=False))
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
