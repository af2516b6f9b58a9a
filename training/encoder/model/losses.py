"""Losses of the dual encoder.

* contrastive: images against English and against Chinese captions (open_clip's ``ClipLoss``);
* queries: short queries ("a red bus") against all matching images of the batch. Captions never
  express that two images show the same object;
* languages: an English caption against its translation;
* words: the tokens of the exact captions, predicted from the image vector. Every attribute gets a
  gradient long before the contrastive loss separates similar captions. Its layer is not exported.
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

#: As in CLIP: a temperature below 1/100 does not help and can diverge.
HIGHEST_LOG_SCALE = 4.6052


@dataclass(frozen=True, slots=True)
class Losses:
    """Loss terms of one step, unweighted, and their weighted ``total``."""

    total: Tensor
    contrastive: Tensor
    languages: Tensor
    words: Tensor
    queries: Tensor


class Objective(nn.Module):
    """The model with the layers that only training needs."""

    word_weight: Tensor

    def __init__(self, model: CustomTextCLIP, word_frequency: Tensor, recipe: Recipe) -> None:
        super().__init__()
        self.model, self.recipe = model, recipe
        self.contrast = ClipLoss()
        self.word_head = nn.Sequential(nn.GELU(), nn.Linear(EMBED_DIM, word_frequency.shape[0]))
        self.register_buffer("word_weight", word_weights(word_frequency))

    def forward(self, batch: Batch) -> Losses:
        """Compute the losses of a batch."""
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
    """Encode (n, length) ids to (n, dimension), for any length up to the context.

    The vectors equal those of ``model.encode_text`` with padding, because the tower is causal.
    open_clip does not shorten its mask for shorter texts.
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
    """Return the weight of each token: rare tokens count most.

    ``frequency`` (vocabulary,) is the share of images whose exact captions contain the token.
    Tokens of all or of no captions have weight 0.
    """
    weight = -torch.log(frequency.clamp(min=1e-3))
    return torch.where(frequency > 0, weight, torch.zeros_like(weight))


def word_loss(logits: Tensor, words: Tensor, weight: Tensor) -> Tensor:
    """Return the cross entropy of (n, vocabulary) logits and weighted tokens."""
    target = words * weight
    target = target / target.sum(dim=1, keepdim=True).clamp(min=1e-6)
    return -(target * functional.log_softmax(logits, dim=-1)).sum(dim=1).mean()


def fit_loss(logits: Tensor, fits: Tensor) -> Tensor:
    """Return the ranking loss of matching images.

    ``logits`` and ``fits`` are (queries, images). Each match competes with all non-matches and with
    no other match. Queries that match nothing or everything are ignored.
    """
    others = logits.masked_fill(fits, -torch.inf).logsumexp(1, keepdim=True)
    each = functional.softplus(others - logits)
    counted = fits.any(1) & ~fits.all(1)
    share = (each * fits).sum(1)[counted] / fits.sum(1)[counted]
    return share.mean() if len(share) else logits.sum() * 0.0
