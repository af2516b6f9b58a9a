"""Where to look: some heads of the language model are shown the patches that hold the answer.

The world knows where each answer can be seen. Two heads of one layer are trained to attend, from
every token of such an answer, to the patches of its box; what they find there, and what to do with
it, the model learns from the answers alone. Finding is what takes small models longest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from sightline.training.vlm.dense import owners_of
from sightline.training.vlm.packs import Batch, Pack
from sightline.training.vlm.tokenizer import STEPS

#: The layer whose first heads are shown where to look, counted from 0.
LAYER: Final = 2
_HEADS: Final = 2


def look_loss(
    model: LlavaForConditionalGeneration,
    entering: Tensor,
    packs: Sequence[Pack],
    batch: Batch,
    runs: Sequence[int],
) -> Tensor | None:
    """Minus the log of the attention that falls on the patches of the answers' boxes.

    ``entering`` (batch, length, width) is what layer ``LAYER`` is given. ``None`` where no answer
    of the batch has a place.
    """
    rows, places, targets = _targets(model, packs, batch, runs)
    if not rows:
        return None
    language = model.model.language_model
    layer = language.layers[LAYER]
    width = language.config.hidden_size // language.config.num_attention_heads
    x = layer.input_layernorm(entering)
    shape = (*x.shape[:2], -1, width)
    query = layer.self_attn.q_proj(x).view(shape)[:, :, :_HEADS].transpose(1, 2)
    key = layer.self_attn.k_proj(x).view(shape)[:, :, :_HEADS].transpose(1, 2)
    cos, sin = language.rotary_emb(x, batch.positions.to(x.device))
    query, key = apply_rotary_pos_emb(query, key, cos, sin)
    asked = query[rows, :, places].float()
    logits = torch.einsum("mhd,mhtd->mht", asked, key[rows].float()) * width**-0.5
    seen = batch.mask[rows, 0, places].to(x.device)[:, None]
    logs = logits.masked_fill(~seen, -torch.inf).log_softmax(-1)
    goal = torch.from_numpy(np.stack(targets)).to(x.device)[:, None]
    loss: Tensor = -logs.masked_fill(~goal, -torch.inf).logsumexp(-1).mean()
    return loss


def _targets(
    model: LlavaForConditionalGeneration, packs: Sequence[Pack], batch: Batch, runs: Sequence[int]
) -> tuple[list[int], list[int], list[np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """For each token that is asked: its row, its place, and which places it should look at."""
    length = batch.ids.shape[1]
    image = model.config.image_token_id
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    rows: list[int] = []
    places: list[int] = []
    targets = []
    spans = iter(batch.spans)
    for row, pack in enumerate(packs):
        patches = np.flatnonzero(np.asarray(pack.prefix) == image)
        for segment in pack.segments:
            _, _, start, end = next(spans)
            box = segment.ask.box
            boxed = any(f <= t < f + STEPS for t in segment.answer for f in runs)
            # A reading without a box was taken from a passage.
            if (
                box is None
                or segment.row not in pack.rows
                or (segment.ask.kind == "reading" and not boxed)
            ):
                continue
            cells = np.flatnonzero(owners_of([box], side) >= 0)
            if not len(cells):
                continue
            goal = np.zeros(length, bool)
            goal[patches[pack.rows.index(segment.row) * side * side + cells]] = True
            for place in range(start, end - 1):
                rows.append(row)
                places.append(place)
                targets.append(goal)
    return rows, places, targets
