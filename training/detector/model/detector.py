"""The detector: blocks of the encoder's image tower with heads for boxes and phrases.

As in OWL-ViT, each patch predicts one box and a vector; the vector is compared with that of a
phrase. Unlike OWL-ViT, patches are assigned to the thing that they show, without matching.
"""

from __future__ import annotations

import copy
from typing import Any, NamedTuple

import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn
from torch.nn.functional import normalize

from sightline.training.detector.recipe import FROZEN_BLOCKS, PHRASE_DIM

_START_SIZE = 0.2  # of a box, as a share of the picture
_START_SHIFT = -4.0  # of the logits: most patches show nothing that a phrase names


class Trunk(nn.Module):
    """The first blocks: pixels (n, 3, px, px) to states (n, 1 + patches, width)."""

    def __init__(self, model: CustomTextCLIP) -> None:
        super().__init__()
        visual: Any = model.visual
        self.conv1 = visual.conv1
        self.class_embedding = visual.class_embedding
        self.positional_embedding = visual.positional_embedding
        self.blocks = nn.ModuleList(visual.transformer.resblocks[:FROZEN_BLOCKS])

    def forward(self, pixel_values: Tensor) -> Tensor:
        """Return the states after the last block."""
        patches = self.conv1(pixel_values).flatten(2).transpose(1, 2)
        first = self.class_embedding.expand(patches.shape[0], 1, -1)
        states: Tensor = torch.cat([first, patches], 1) + self.positional_embedding
        for block in self.blocks:
            states = block(states)
        return states


class Patches(NamedTuple):
    """What the patches say.

    ``vectors`` (n, patches, dim) have length 1; ``scale`` and ``shift`` (n, patches, 1) are of
    their logits; ``boxes`` (n, patches, 4) are corners in 0 to 1.
    """

    vectors: Tensor
    scale: Tensor
    shift: Tensor
    boxes: Tensor


class PatchHeads(nn.Module):
    """The later blocks and the heads: states to ``Patches``."""

    def __init__(self, model: CustomTextCLIP) -> None:
        super().__init__()
        visual: Any = model.visual
        width, side = visual.conv1.out_channels, visual.grid_size[0]
        self.blocks = nn.ModuleList(
            copy.deepcopy(block) for block in visual.transformer.resblocks[FROZEN_BLOCKS:]
        )
        self.norm = nn.LayerNorm(width)
        self.vector = nn.Linear(width, PHRASE_DIM)
        self.logit = nn.Linear(width, 2)
        self.box = nn.Sequential(nn.Linear(width, width), nn.GELU(), nn.Linear(width, 4))
        nn.init.zeros_(self.logit.weight)
        nn.init.constant_(self.logit.bias, 0.0)
        last: Any = self.box[2]
        nn.init.normal_(last.weight, std=0.01)
        start = torch.logit(torch.tensor(_START_SIZE)).item()
        last.bias.data = torch.tensor([0.0, 0.0, start, start])
        centers = (torch.arange(side) + 0.5) / side
        down, across = torch.meshgrid(centers, centers, indexing="ij")
        self.register_buffer("centers", torch.stack([across, down], -1).reshape(-1, 2))

    def forward(self, states: Tensor) -> Patches:
        """Return what each patch says."""
        for block in self.blocks:
            states = block(states)
        shown = self.norm(states[:, 1:])
        place = self.box(shown).float()
        centers: Any = self.centers
        middle = centers + 0.5 * torch.tanh(place[..., :2])
        half = torch.sigmoid(place[..., 2:]) / 2
        logit = self.logit(shown).float()
        return Patches(
            normalize(self.vector(shown).float(), dim=-1),
            10 * torch.exp(logit[..., :1].clamp(-2, 2)),
            _START_SHIFT + logit[..., 1:],
            torch.cat([middle - half, middle + half], -1),
        )


class PhraseHead(nn.Module):
    """States of the text tower, see ``text_states``, to phrase vectors of length 1."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.LayerNorm(3 * width),
            nn.Linear(3 * width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, PHRASE_DIM),
        )

    def forward(self, states: Tensor) -> Tensor:
        """Return (phrases, dim)."""
        return normalize(self.layers(states).float(), dim=-1)


class TextStates(nn.Module):
    """The text tower, to ids (n, length) of any length.

    Returns (n, 3 * width): the state at the end token, the mean state and the mean embedding of the
    other tokens. The means keep a word apart from its neighbors, so that "purple fridge" is
    understood although no picture of the training shows one.
    """

    def __init__(self, model: CustomTextCLIP) -> None:
        super().__init__()
        self.text: Any = model.text

    def forward(self, input_ids: Tensor) -> Tensor:
        """Return the states of texts that start with a start token and are padded at the end."""
        tower, length = self.text, input_ids.shape[1]
        words = tower.token_embedding(input_ids)
        states = words + tower.positional_embedding[:length]
        states = tower.ln_final(
            tower.transformer(states, attn_mask=tower.attn_mask[:length, :length])
        )
        ends = (input_ids == tower.eos_id).int().argmax(-1)
        last = states[torch.arange(states.shape[0]), ends]
        place = torch.arange(length)
        inside = ((place > 0) & (place < ends[:, None])).to(states.dtype)[..., None]
        count = inside.sum(1).clamp(min=1.0)
        return torch.cat(
            [last, (states * inside).sum(1) / count, (words * inside).sum(1) / count], -1
        )


def logits(patches: Patches, phrases: Tensor) -> Tensor:
    """Return (n, patches, phrases)."""
    return patches.vectors @ phrases.T * patches.scale + patches.shift
