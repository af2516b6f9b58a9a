"""Where to look: some heads of the language model are shown what holds the answer.

The world knows where each answer can be seen. Two heads of one layer are trained to attend, from
every token of such an answer, to the patches of its box, or, where the answer is copied out of a
passage, to the token of the passage that comes next; what they find there, and what to do with it,
the model learns from the answers alone. Finding is what takes small models longest.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from sightline.training.vlm.dense import owners_of
from sightline.training.vlm.packs import Batch, Pack, Segment
from sightline.training.vlm.tokenizer import STEPS, coordinate_ids

#: The layer whose first heads are shown where to look, counted from 0.
LAYER: Final = 2
_HEADS: Final = 2
_HEAD: Final = re.compile(r"(?:Passage|Picture) \d: ")


def look_loss(
    model: LlavaForConditionalGeneration,
    entering: Tensor,
    packs: Sequence[Pack],
    batch: Batch,
    tokenizer: PreTrainedTokenizerFast,
) -> Tensor | None:
    """Minus the log of the attention that falls on what holds the answers.

    ``entering`` (batch, length, width) is what layer ``LAYER`` is given. ``None`` where no answer
    of the batch has a place.
    """
    rows, places, targets = _targets(model, packs, batch, tokenizer)
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
    scores = query @ key.transpose(-1, -2) * width**-0.5
    logits = scores[rows, :, places].float()
    seen = batch.mask[rows, 0, places].to(x.device)[:, None]
    logs = logits.masked_fill(~seen, -torch.inf).log_softmax(-1)
    goal = torch.from_numpy(np.stack(targets)).to(x.device)[:, None]
    loss: Tensor = -logs.masked_fill(~goal, -torch.inf).logsumexp(-1).mean()
    return loss


def _targets(
    model: LlavaForConditionalGeneration,
    packs: Sequence[Pack],
    batch: Batch,
    tokenizer: PreTrainedTokenizerFast,
) -> tuple[list[int], list[int], list[npt.NDArray[np.bool_]]]:
    """For each token that is asked: its row, its place, and which places it should look at."""
    length = batch.ids.shape[1]
    image = model.config.image_token_id
    runs = coordinate_ids(tokenizer)
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    rows: list[int] = []
    places: list[int] = []
    targets = []
    spans = iter(batch.spans)

    def look(row: int, place: int, at: npt.NDArray[np.int64] | int) -> None:
        goal = np.zeros(length, bool)
        goal[at] = True
        rows.append(row)
        places.append(place)
        targets.append(goal)

    for row, pack in enumerate(packs):
        patches = np.flatnonzero(np.asarray(pack.prefix) == image)
        for segment in pack.segments:
            _, _, start, end = next(spans)
            box = segment.ask.box
            boxed = any(f <= t < f + STEPS for t in segment.answer for f in runs)
            if segment.ask.kind == "reading" and not boxed:
                for offset, at in enumerate(copied(segment, pack.prefix, tokenizer)):
                    look(row, start + offset, at)
            elif box is not None and segment.row in pack.rows:
                cells = np.flatnonzero(owners_of([box], side) >= 0)
                shown = patches[pack.rows.index(segment.row) * side * side + cells]
                for place in range(start, end - 1) if len(cells) else ():
                    look(row, place, shown)
    return rows, places, targets


def copied(
    segment: Segment, prefix: Sequence[int], tokenizer: PreTrainedTokenizerFast
) -> list[int]:
    """Where in ``prefix`` each token of an answer that stands in a passage comes from.

    Letters are compared, not tokens: " Fjord" in a passage is "Fjord" at the start of an answer.
    Empty where the passages do not hold the answer, or hold it twice.
    """
    pieces = _pieces(tokenizer)
    texts = [pieces[token] for token in prefix]
    owners = [place for place, text in enumerate(texts) for _ in text]
    # "Passage 2" holds no answer "2".
    letters = _HEAD.sub(lambda head: "\0" * len(head.group()), "".join(texts))
    answer = segment.ask.answer
    if letters.count(answer) != 1:
        return []
    at = letters.index(answer)
    found: list[int] = []
    for token in segment.answer:
        text = pieces[token]
        end = at + len(text)
        if not text or letters[at:end] != text:
            break
        # The first letter that is no blank: a blank may be the passage's or the word's.
        found.append(owners[at + len(text) - len(text.lstrip(" "))] if text.strip() else owners[at])
        at = end
    return found


@lru_cache(maxsize=16)
def _pieces(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """The text of every token; of markup and of parts of letters, nothing."""
    special = set(tokenizer.all_special_ids)
    texts = (tokenizer.decode([token]) for token in range(len(tokenizer)))
    return ["" if i in special or "\ufffd" in text else text for i, text in enumerate(texts)]
