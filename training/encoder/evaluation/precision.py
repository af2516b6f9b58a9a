"""Precision of short queries at several depths."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from open_clip.model import CustomTextCLIP
from transformers import PreTrainedTokenizerFast

from sightline.training.encoder.data.query_templates import Wanted
from sightline.training.encoder.evaluation.recall import Vectors
from sightline.training.encoder.evaluation.validate import text_vectors
from sightline.training.world.core.scene import Language

DEPTHS: Final = (3, 10)
Fits = npt.NDArray[np.bool_]


def precision(
    model: CustomTextCLIP,
    tokenizer: PreTrainedTokenizerFast,
    wanted: Sequence[Wanted],
    fits: Fits,
    seen: Vectors,
    language: Language,
    device: torch.device,
) -> dict[str, Any]:
    """Return precision of the plain query of every target, by group.

    ``fits`` (targets, images) marks the matches; ``seen`` (images, dimension) are image vectors.
    """
    texts = [one.query(language) for one in wanted]
    right = shares(text_vectors(model, tokenizer, texts, device) @ seen.T, fits)
    sorts = [
        (one.group, "colour and thing" if one.colour else "thing alone")
        if one.group != "kinds of pictures"
        else (one.group, one.group)
        for one in wanted
    ]
    groups = ["all", *sorted({name for both in sorts for name in both})]
    figures: dict[str, Any] = {}
    for group in groups:
        rows = [i for i, both in enumerate(sorts) if group == "all" or group in both]
        figures[group] = {
            "queries": len(rows),
            "at": {k: round(float(right[k][rows].mean()), 4) for k in DEPTHS},
            "chance": round(float(fits[rows].mean()), 4),
        }
    return figures


def shares(scores: Vectors, fits: Fits) -> dict[int, Vectors]:
    """Return the share of matches among the first k images, per query and k.

    If fewer than k images match, the depth is the number of matches, so that 1 is always possible.
    Ties count against the query.
    """
    order = np.lexsort((fits, -scores), axis=1)
    ranked = np.take_along_axis(fits, order, axis=1)
    found = ranked.cumsum(axis=1)
    total = fits.sum(axis=1)
    result = {}
    for k in DEPTHS:
        depth = np.minimum(k, np.maximum(total, 1))
        result[k] = (found[np.arange(len(fits)), depth - 1] / depth).astype(np.float32)
    return result
