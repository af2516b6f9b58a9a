"""Oracle embeddings: ground-truth patch embeddings for the language model.

The language model needs most of its training time to learn to read images, and errors of the tower
slow this down. So it is first trained on oracle embeddings: the sum of the embeddings of all patch
targets (label, attributes, counts, characters, corners). Then the projector learns to produce the
same embeddings from tower features, and finally all parts are trained together.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerFast

from sightline.training.vlm.data.patch_targets import BINS, CHARACTERS, TargetVocabulary
from sightline.training.vlm.data.tokenizer import STEPS, coordinate_ids

#: Share of patches without ground truth during training.
_DROP_RATE: Final = 0.1
#: Norm of a word embedding in a patch, relative to token embeddings.
_WORD_NORM: Final = 0.6
#: Tokenizer role of each coordinate: x0, y0, x1, y1.
_ROLES: Final = (0, 1, 1, 2)


class OracleEmbedding(nn.Module):
    """Maps patch targets to embeddings for the language model."""

    starts: Tensor

    def __init__(self, vocabulary: TargetVocabulary, width: int) -> None:
        super().__init__()
        starts = np.cumsum([0, *vocabulary.widths])
        self.register_buffer("starts", torch.from_numpy(starts[:-1]), persistent=False)
        self.classes = nn.Embedding(int(starts[-1]), width)
        self.corners = nn.Embedding(4 * BINS, width)

    def forward(self, truth: Tensor, corners: Tensor) -> Tensor:
        """Return embeddings (..., width) of patch targets.

        ``truth`` (..., targets) int64, negative: unknown; ``corners`` (..., 4), NaN: no object. In
        training mode, some patches are dropped.
        """
        if self.training:
            dropped = torch.rand(truth.shape[:-1], device=truth.device) < _DROP_RATE
            truth = truth.masked_fill(dropped[..., None], -1)
            corners = corners.masked_fill(dropped[..., None], torch.nan)
        known = truth >= 0
        rows = truth.clamp(min=0) + self.starts
        embedding: Tensor = (self.classes(rows) * known[..., None]).sum(-2)
        has_object = ~corners[..., :1].isnan()
        position = corners.nan_to_num().clamp(0, 1) * (BINS - 1)
        low = position.floor().clamp(max=BINS - 2)
        fraction = (position - low)[..., None]
        at = low.long() + torch.arange(4, device=low.device) * BINS
        box_embedding = self.corners(at) * (1 - fraction) + self.corners(at + 1) * fraction
        embedding += (box_embedding.sum(-2) * has_object).to(embedding.dtype)
        return embedding


@torch.no_grad()
def init_oracle(
    oracle: OracleEmbedding,
    vocabulary: TargetVocabulary,
    embeddings: Tensor,
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    """Initialize each target with the embedding of its words."""
    mean_norm = embeddings.norm(dim=1).mean()

    def word_embedding(text: str) -> Tensor:
        ids = tokenizer.encode(text, add_special_tokens=False)
        vector: Tensor = embeddings[ids].mean(0)
        vector *= mean_norm * _WORD_NORM / vector.norm()
        return vector

    numbers = [str(number) for number in range(1, 11)]
    words_by_target = [
        vocabulary.labels,
        *vocabulary.attributes.values(),
        ["", *numbers],
        ["", *numbers],
    ]
    words_by_target += [vocabulary.alphabet] * CHARACTERS
    row = 0
    for index, (group, width) in enumerate(zip(words_by_target, vocabulary.widths, strict=True)):
        letters = index >= len(words_by_target) - CHARACTERS
        # Targets with equal words (two counts, five characters) need different embeddings.
        offset = torch.randn(embeddings.shape[1])
        offset = offset / offset.norm() * mean_norm * _WORD_NORM * 0.5
        for text in group[:width]:
            vector = (
                word_embedding(text if letters else f" {text}") + offset
                if text
                else torch.zeros_like(offset)
            )
            oracle.classes.weight[row] = vector * (0.4 if letters else 1.0)
            row += 1
    runs = coordinate_ids(tokenizer)
    for corner, role in enumerate(_ROLES):
        offset = torch.randn(embeddings.shape[1])
        offset = offset / offset.norm() * mean_norm * _WORD_NORM * 0.5
        for step in range(BINS):
            vector = embeddings[runs[role] + round(step / (BINS - 1) * (STEPS - 1))]
            oracle.corners.weight[corner * BINS + step] = (
                vector / vector.norm() * mean_norm * _WORD_NORM + offset
            )
