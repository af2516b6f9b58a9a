"""Perfect eyes: what a patch shows, told to the language model as a tower that knows all would.

Learning to read a picture takes the language model longer than anything else, and a tower that is
often wrong makes it longer. So it first reads patches whose embedding is the sum of what is true of
them (see ``dense``): label, attributes, counts, letters and corners, each with an embedding of its
own. Then the projector learns to say the same of what the real tower saw, and all go on together.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from sightline.training.vlm.data.patch_targets import BINS, CHARACTERS, Words
from sightline.training.vlm.data.tokenizer import STEPS, coordinate_ids

#: How often the truth of a patch is left out while the language model learns from it.
_BLIND: Final = 0.1
#: Length of the embedding of a word in a patch, as a share of the usual.
_VOICE: Final = 0.6
#: The coordinate of each corner among the roles of the tokenizer: x0, y0, x1, y1.
_ROLES: Final = (0, 1, 1, 2)


class Oracle(nn.Module):
    """Truths of patches to embeddings for the language model."""

    starts: Tensor

    def __init__(self, words: Words, width: int) -> None:
        super().__init__()
        starts = np.cumsum([0, *words.widths])
        self.register_buffer("starts", torch.from_numpy(starts[:-1]), persistent=False)
        self.classes = nn.Embedding(int(starts[-1]), width)
        self.corners = nn.Embedding(4 * BINS, width)

    def forward(self, truth: Tensor, corners: Tensor) -> Tensor:
        """``truth`` (..., targets) int64, negative: unknown; ``corners`` (..., 4), NaN: nothing.

        Returns (..., width). In training some patches are left without their truth.
        """
        if self.training:
            blind = torch.rand(truth.shape[:-1], device=truth.device) < _BLIND
            truth = truth.masked_fill(blind[..., None], -1)
            corners = corners.masked_fill(blind[..., None], torch.nan)
        known = truth >= 0
        rows = truth.clamp(min=0) + self.starts
        told: Tensor = (self.classes(rows) * known[..., None]).sum(-2)
        there = ~corners[..., :1].isnan()
        place = corners.nan_to_num().clamp(0, 1) * (BINS - 1)
        low = place.floor().clamp(max=BINS - 2)
        share = (place - low)[..., None]
        at = low.long() + torch.arange(4, device=low.device) * BINS
        where = self.corners(at) * (1 - share) + self.corners(at + 1) * share
        told += (where.sum(-2) * there).to(told.dtype)
        return told


@torch.no_grad()
def start_oracle(
    oracle: Oracle, words: Words, embeddings: Tensor, tokenizer: PreTrainedTokenizerFast
) -> None:
    """Let each truth begin as the embedding of the words for it."""
    usual = embeddings.norm(dim=1).mean()

    def voice(text: str) -> Tensor:
        ids = tokenizer.encode(text, add_special_tokens=False)
        said: Tensor = embeddings[ids].mean(0)
        said *= usual * _VOICE / said.norm()
        return said

    numbers = [str(number) for number in range(1, 11)]
    spoken = [words.labels, *words.attributes.values(), ["", *numbers], ["", *numbers]]
    spoken += [words.alphabet] * CHARACTERS
    row = 0
    for index, (group, width) in enumerate(zip(spoken, words.widths, strict=True)):
        letters = index >= len(spoken) - CHARACTERS
        # Groups that share words (two counts, five places of a letter) must be told apart.
        own = torch.randn(embeddings.shape[1])
        own = own / own.norm() * usual * _VOICE * 0.5
        for text in group[:width]:
            said = voice(text if letters else f" {text}") + own if text else torch.zeros_like(own)
            oracle.classes.weight[row] = said * (0.4 if letters else 1.0)
            row += 1
    runs = coordinate_ids(tokenizer)
    for corner, role in enumerate(_ROLES):
        own = torch.randn(embeddings.shape[1])
        own = own / own.norm() * usual * _VOICE * 0.5
        for step in range(BINS):
            said = embeddings[runs[role] + round(step / (BINS - 1) * (STEPS - 1))]
            oracle.corners.weight[corner * BINS + step] = said / said.norm() * usual * _VOICE + own
