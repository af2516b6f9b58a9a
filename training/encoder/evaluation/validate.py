"""Vectors of an album, and validation figures during training."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from open_clip.model import CustomTextCLIP
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from sightline.training.encoder.data.album import Album
from sightline.training.encoder.data.batches import normalised
from sightline.training.encoder.evaluation.recall import Vectors, ranks, recall
from sightline.training.encoder.model.losses import encode_text
from sightline.training.encoder.recipe import CONTEXT_TOKENS
from sightline.training.world.core.scene import LANGUAGES, Language

_BATCH = 64


@torch.no_grad()
def picture_vectors(model: CustomTextCLIP, album: Album, device: torch.device) -> Vectors:
    """Return (n, dimension) unit vectors of the images of an album, in fp32."""
    parts: list[Vectors] = []
    for start in range(0, len(album), _BATCH):
        stop = min(start + _BATCH, len(album))
        pixels = normalised(np.stack([album.pixels(i) for i in range(start, stop)]))
        vectors = functional.normalize(model.visual(pixels.to(device)), dim=-1)
        parts.append(vectors.float().cpu().numpy())
    return np.concatenate(parts)


@torch.no_grad()
def text_vectors(
    model: CustomTextCLIP,
    tokenizer: PreTrainedTokenizerFast,
    texts: Sequence[str],
    device: torch.device,
) -> Vectors:
    """Return (n, dimension) unit vectors of texts, in fp32."""
    parts: list[Vectors] = []
    for start in range(0, len(texts), _BATCH):
        tokens = tokenizer(
            list(texts[start : start + _BATCH]),
            return_tensors="pt",
            padding=True,
            truncation=True,
            max_length=CONTEXT_TOKENS,
        )["input_ids"]
        vectors = functional.normalize(encode_text(model, tokens.to(device)), dim=-1)
        parts.append(vectors.float().cpu().numpy())
    return np.concatenate(parts)


def first_unique(texts: Sequence[str]) -> list[int]:
    """Return the first index of each text: duplicate captions have no unique match."""
    seen: dict[str, int] = {}
    for index, text in enumerate(texts):
        seen.setdefault(text, index)
    return sorted(seen.values())


def exact_captions(album: Album, language: Language) -> list[str]:
    """Return the exact caption of every image."""
    return [entry.captions[language][0] for entry in album.entries]


def validate(
    model: CustomTextCLIP,
    tokenizer: PreTrainedTokenizerFast,
    album: Album,
    device: torch.device,
    seen: Vectors | None = None,
) -> dict[str, float]:
    """Return text-to-image R@1 and R@5 in both languages, over unique captions.

    ``seen`` are the image vectors, if they are already known.
    """
    kept = first_unique(exact_captions(album, "en"))
    pictures = (picture_vectors(model, album, device) if seen is None else seen)[kept]
    figures: dict[str, float] = {}
    for language in LANGUAGES:
        texts = [exact_captions(album, language)[i] for i in kept]
        rank = ranks(text_vectors(model, tokenizer, texts, device), pictures)
        found = recall(rank, len(kept))
        figures[f"{language}_r1"], figures[f"{language}_r5"] = found.at[1], found.at[5]
    return figures
