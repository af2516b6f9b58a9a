"""The loss: open_clip's contrastive loss in both languages, and what captions do not teach.

* contrastive: pictures against English captions, pictures against Chinese captions (``ClipLoss``);
* queries: short wordings ("a red bus"), drawn to every picture of the batch that they fit and away
  from those that they do not. Captions tell a picture from all others; they never say that two
  pictures show the same thing;
* languages: an English caption against its translation, which ties Chinese to English;
* words: which tokens the exact captions hold, told from the picture's vector. It gives every
  attribute a gradient of its own long before the contrastive loss tells near-identical captions
  apart. Its layer is not exported.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from open_clip.loss import ClipLoss
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn
from torch.nn import functional

from sightline.training.encoder.data.batches import Batch
from sightline.training.encoder.recipe import EMBED_DIM, Recipe

#: As in CLIP: a sharper temperature than 1/100 no longer helps and can diverge.
HIGHEST_LOG_SCALE = 4.6052


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts of one step's loss, unweighted, and their weighted ``total``."""

    total: Tensor
    contrastive: Tensor
    languages: Tensor
    words: Tensor
    queries: Tensor


class Objective(nn.Module):
    """The model together with what only training needs."""

    word_weight: Tensor

    def __init__(self, model: CustomTextCLIP, word_frequency: Tensor, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        self.contrast = ClipLoss()
        self.word_head = nn.Sequential(nn.GELU(), nn.Linear(EMBED_DIM, word_frequency.shape[0]))
        self.register_buffer("word_weight", word_weights(word_frequency))

    def forward(self, batch: Batch) -> Losses:
        """The losses of a batch."""
        image = self.model.visual(batch.pixels)
        picture = functional.normalize(image.float(), dim=-1)
        english = functional.normalize(encode_text(self.model, batch.english).float(), dim=-1)
        chinese = functional.normalize(encode_text(self.model, batch.chinese).float(), dim=-1)
        scale = self.model.logit_scale.clamp(max=HIGHEST_LOG_SCALE).exp()
        contrastive = (
            self.contrast(picture, english, scale) + self.contrast(picture, chinese, scale)
        ) / 2
        languages = self.contrast(english, chinese, scale)
        words = word_loss(self.word_head(image).float(), batch.words, self.word_weight)
        asked = functional.normalize(encode_text(self.model, batch.queries).float(), dim=-1)
        queries = fit_loss(asked @ picture.T * self.recipe.queries_scale, batch.fits)
        total = (
            contrastive
            + self.recipe.languages_weight * languages
            + self.recipe.words_weight * words
            + self.recipe.queries_weight * queries
        )
        return Losses(total, contrastive, languages, words, queries)


def encode_text(model: CustomTextCLIP, tokens: Tensor) -> Tensor:
    """(n, length) ids to (n, dimension), for any length up to the context.

    The same vectors as ``model.encode_text`` on texts padded to the full context, since the tower
    is causal; open_clip only fails to cut its mask to shorter texts.
    """
    tower = model.text
    full = tower.attn_mask
    length = tokens.shape[1]
    tower.attn_mask = full[:length, :length]
    try:
        vectors: Tensor = tower(tokens)
    finally:
        tower.attn_mask = full
    return vectors


def word_weights(frequency: Tensor) -> Tensor:
    """How much each token counts: nothing if it is in all captions or in none, rare ones most.

    ``frequency`` (vocabulary,) is the share of pictures whose exact captions hold the token.
    """
    weight = -torch.log(frequency.clamp(min=1e-3))
    return torch.where(frequency > 0, weight, torch.zeros_like(weight))


def word_loss(logits: Tensor, words: Tensor, weight: Tensor) -> Tensor:
    """Cross entropy of (n, vocabulary) logits against the weighted tokens of each picture."""
    target = words * weight
    target = target / target.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return -(target * functional.log_softmax(logits, dim=-1)).sum(dim=1).mean()


def fit_loss(logits: Tensor, fits: Tensor) -> Tensor:
    """How far the pictures that fit are from coming first.

    ``logits`` and ``fits`` (queries, pictures). Each picture that fits competes with all that do
    not fit, never with another that does. Queries that fit nothing or everything count nothing.
    """
    others = logits.masked_fill(fits, -torch.inf).logsumexp(1, keepdim=True)
    each = functional.softplus(others - logits)
    counted = fits.any(1) & ~fits.all(1)
    share = (each * fits).sum(1)[counted] / fits.sum(1)[counted]
    return share.mean() if len(share) else logits.sum() * 0.0
