"""Second stage: fine-tune the text tower with short queries; the image tower is frozen.

Images are encoded once, so the stage takes minutes. A query is pulled to every image that matches
and pushed from those that do not; other matches are not negatives. Captions are held at their
vectors, so that retrieval by caption does not change.
"""

from __future__ import annotations

import copy
import logging
import math
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from open_clip.model import CustomTextCLIP
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from sightline.training.encoder import hardware
from sightline.training.encoder.data.album import Album, Entry
from sightline.training.encoder.data.batches import padded
from sightline.training.encoder.data.query_templates import Wanted
from sightline.training.encoder.evaluation.precision import precision
from sightline.training.encoder.evaluation.recall import Vectors
from sightline.training.encoder.evaluation.validate import picture_vectors, validate
from sightline.training.encoder.model.losses import encode_text, fit_loss
from sightline.training.encoder.recipe import CONTEXT_TOKENS, Queries
from sightline.training.world.core.scene import LANGUAGES

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lookup:
    """Query targets of an album, and ``fits`` (targets, images): their matches."""

    wanted: list[Wanted]
    fits: Tensor

    @classmethod
    def of(cls, entries: Sequence[Entry], fewest: int = 1) -> Lookup:
        """Return the targets that at least ``fewest`` images show."""
        rows: dict[Wanted, list[int]] = {}
        for index, entry in enumerate(entries):
            for one in entry.wanted:
                rows.setdefault(one, []).append(index)
        wanted = sorted(one for one, found in rows.items() if len(found) >= fewest)
        fits = torch.zeros(len(wanted), len(entries), dtype=torch.bool)
        for row, one in enumerate(wanted):
            fits[row, rows[one]] = True
        return cls(wanted, fits)


@dataclass(frozen=True, slots=True)
class Held:
    """Held-out images with query targets and vectors."""

    album: Album
    lookup: Lookup
    seen: Vectors

    @classmethod
    def of(cls, album: Album, model: CustomTextCLIP, device: torch.device) -> Held:
        """Return the image vectors of ``album``."""
        return cls(album, Lookup.of(album.entries), picture_vectors(model, album, device))


def learn(
    model: CustomTextCLIP,
    tokenizer: PreTrainedTokenizerFast,
    train: Album,
    validation: Album,
    recipe: Queries,
    device: torch.device,
    precision_kind: hardware.Precision = "auto",
) -> dict[str, Any]:
    """Train the text tower in place. Return recipe, seconds and validation curve."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    seen = torch.from_numpy(picture_vectors(model, train, device)).to(device)
    lookup = Lookup.of(train.entries, recipe.fewest)
    commonness = lookup.fits.sum(1).double().numpy() ** 0.5
    model.visual.requires_grad_(requires_grad=False)
    text = [p for p in model.text.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(text, lr=recipe.learning_rate, weight_decay=0.01)
    before = copy.deepcopy(model).requires_grad_(requires_grad=False)
    held = Held.of(validation, model, device)
    curve = [{"step": 0.0, "minutes": 0.0, **examine(model, tokenizer, held, device)}]
    seconds = 0.0
    for step in range(recipe.steps):
        began = time.monotonic()
        done = step / recipe.steps
        for group in optimizer.param_groups:
            ramp = min(1.0, (step + 1) / recipe.warmup_steps)
            group["lr"] = recipe.learning_rate * ramp * (0.01 + 0.99 * _cosine(done))
        chosen = rng.choice(
            len(lookup.wanted), recipe.queries, p=commonness / commonness.sum(), replace=True
        )
        pool = torch.from_numpy(rng.choice(len(seen), min(recipe.pool, len(seen)), replace=False))
        queries = [
            lookup.wanted[row].query(language, int(rng.integers(100)))
            for language in LANGUAGES
            for row in chosen
        ]
        fits = lookup.fits[chosen][:, pool].repeat(len(LANGUAGES), 1).to(device)
        captions = _captions(train.entries, rng, recipe.captions)
        tokens = [_tokens(tokenizer, texts).to(device) for texts in (queries, captions)]
        with hardware.autocast(device, precision_kind):
            asked, said = (encode_text(model, batch) for batch in tokens)
            stood = encode_text(before, tokens[1])
        asked = functional.normalize(asked.float(), dim=-1)
        drift = 1 - functional.cosine_similarity(said.float(), stood.float())
        loss = fit_loss(asked @ seen[pool].T * recipe.scale, fits) + recipe.hold * drift.mean()
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(text, 1.0)
        optimizer.step()
        seconds += time.monotonic() - began
        if (step + 1) % recipe.validate_every_steps == 0 or step + 1 == recipe.steps:
            point = {"step": step + 1.0, "minutes": round(seconds / 60, 2)}
            found = examine(model, tokenizer, held, device)
            curve.append({**point, **found, "loss": round(loss.item(), 4)})
            logger.info("queries %s", curve[-1])
    return {"recipe": asdict(recipe), "seconds": round(seconds), "curve": curve}


def _cosine(done: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * done))


def _captions(entries: Sequence[Entry], rng: np.random.Generator, count: int) -> list[str]:
    """Sample captions in either language; half of them are exact captions."""
    found = []
    for row in rng.integers(len(entries), size=count):
        texts = entries[row].captions[LANGUAGES[int(rng.integers(2))]]
        found.append(texts[0 if rng.random() < 0.5 else int(rng.integers(len(texts)))])
    return found


def _tokens(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str]) -> Tensor:
    return padded(tokenizer(list(texts), truncation=True, max_length=CONTEXT_TOKENS)["input_ids"])


def examine(
    model: CustomTextCLIP, tokenizer: PreTrainedTokenizerFast, held: Held, device: torch.device
) -> dict[str, float]:
    """Return recall of captions and precision of short queries, in both languages."""
    figures = validate(model, tokenizer, held.album, device, held.seen)
    wanted, fits = held.lookup.wanted, held.lookup.fits.numpy()
    for language in LANGUAGES:
        found = precision(model, tokenizer, wanted, fits, held.seen, language, device)
        figures |= {f"{language}_p{k}": round(v, 4) for k, v in found["all"]["at"].items()}
    return figures
