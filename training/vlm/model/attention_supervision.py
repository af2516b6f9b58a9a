"""Attention supervision: losses that train heads to attend to the evidence.

The ground truth contains the position of each answer. The heads of one layer are trained to attend,
from each answer token, to

- the patches of the answer box,
- all patches, if the answer describes the whole image (daylight, paper), or
- the next passage token, if the answer is copied from a passage. To find it, one head of the first
  layer is trained to attend to the previous token.

The value and output projections of the supervised heads start near the identity. Otherwise they
learn only to copy boxes, and color answers stay at chance level.
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
from torch.nn.functional import linear, nll_loss
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from sightline.training.vlm.data import prompt
from sightline.training.vlm.data.batches import Batch
from sightline.training.vlm.data.letterbox import iou
from sightline.training.vlm.data.packing import PackedSequence, PassageLine, Segment
from sightline.training.vlm.data.patch_targets import assign_patches
from sightline.training.vlm.data.tokenizer import STEPS, coordinate_ids

#: Index of the supervised layer.
SUPERVISED_LAYER: Final = 2
#: Initial scale of the copied patch.
_COPY_SCALE: Final = 0.3
#: Maximum number of tokens per batch for the previous-token loss.
_MAX_PREVIOUS_TOKENS: Final = 512
#: Question kinds whose answers can be copied from a passage.
_COPIED_KINDS: Final = ("attribute", "comparison", "reading", "relation")
#: Minimum IoU of a text line and the answer box.
_MIN_LINE_IOU: Final = 0.6
_EVIDENCE_HEADER: Final = re.compile(r"(?:Passage|Picture) \d: ")


def attention_loss(
    model: LlavaForConditionalGeneration,
    layer_input: Tensor,
    sequences: Sequence[PackedSequence],
    batch: Batch,
    tokenizer: PreTrainedTokenizerFast,
) -> Tensor | None:
    """Return the negative log attention on the evidence of the answers.

    ``layer_input`` (batch, length, width) is the input of layer ``SUPERVISED_LAYER``. Returns
    ``None`` if no answer of the batch has a target.
    """
    rows, positions, targets = attention_targets(model, sequences, batch, tokenizer)
    if not rows:
        return None
    logs = _log_attention(model, SUPERVISED_LAYER, slice(None), layer_input, batch, rows, positions)
    target = torch.from_numpy(np.stack(targets)).to(logs.device)[:, None]
    loss: Tensor = -logs.masked_fill(~target, -torch.inf).logsumexp(-1).mean()
    return loss


def previous_token_loss(
    model: LlavaForConditionalGeneration, embeds: Tensor, batch: Batch
) -> Tensor:
    """Return the negative log attention on the previous token in the first head.

    ``embeds`` (batch, length, width) is the input of the first layer. The loss uses a subset of the
    text tokens that follow another text token.
    """
    text, owner = batch.ids != model.config.image_token_id, batch.owner
    candidates = text[:, 1:] & text[:, :-1] & (owner[:, 1:] == owner[:, :-1]) & (owner[:, 1:] >= 0)
    rows, previous = candidates.nonzero(as_tuple=True)
    subset = torch.linspace(0, len(rows) - 1, min(len(rows), _MAX_PREVIOUS_TOKENS)).long()
    rows, previous = rows[subset], previous[subset]
    logs = _log_attention(model, 0, slice(1), embeds, batch, rows.tolist(), (previous + 1).tolist())
    return nll_loss(logs[:, 0], previous.to(logs.device))


@torch.no_grad()
def init_value_copy(model: LlavaForConditionalGeneration) -> None:
    """Add a scaled identity to the value and output projections."""
    attention = model.model.language_model.layers[SUPERVISED_LAYER].self_attn
    for projection in (attention.v_proj, attention.o_proj):
        projection.weight += _COPY_SCALE**0.5 * torch.eye(
            projection.in_features, device=projection.weight.device
        )


def _log_attention(
    model: LlavaForConditionalGeneration,
    index: int,
    heads: slice,
    layer_input: Tensor,
    batch: Batch,
    rows: Sequence[int],
    positions: Sequence[int],
) -> Tensor:
    """Return log attention of ``heads`` in layer ``index`` for query positions.

    ``layer_input`` (batch, length, width); ``rows`` must be sorted. Returns (positions, heads,
    length), minus infinity for masked positions.
    """
    language = model.model.language_model
    layer = language.layers[index]
    width = layer.self_attn.head_dim
    x = layer.input_layernorm(layer_input)
    head_channels = slice(
        *(end * width for end in heads.indices(language.config.num_attention_heads)[:2])
    )
    # Compute only the needed queries, padded per row.
    row, position = torch.tensor(rows), torch.tensor(positions)
    count = torch.bincount(row, minlength=len(x))
    slot = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    query_positions = torch.zeros(len(x), int(count.max()), dtype=torch.long)
    query_positions[row, slot] = position
    query_positions = query_positions.to(x.device)
    all_positions = batch.positions.to(x.device)
    rotary = language.rotary_emb(x, all_positions)
    own = x.gather(1, query_positions[..., None].expand(-1, -1, x.shape[-1]))
    own_rotary = language.rotary_emb(own, all_positions.gather(1, query_positions))
    attention = layer.self_attn
    parts = []
    for states, projection, rotation in (
        (own, attention.q_proj, own_rotary),
        (x, attention.k_proj, rotary),
    ):
        part = linear(states, projection.weight[head_channels])
        part = part.view(*part.shape[:2], -1, width).transpose(1, 2)
        parts.append(apply_rotary_pos_emb(part, part, *rotation)[0])
    query, key = parts
    scores = (query @ key.transpose(-1, -2) * width**-0.5)[row, :, slot].float()
    mask = batch.attention_mask(row, position).to(scores.device)[:, None]
    logs: Tensor = scores.masked_fill(~mask, -torch.inf).log_softmax(-1)
    return logs


def attention_targets(
    model: LlavaForConditionalGeneration,
    sequences: Sequence[PackedSequence],
    batch: Batch,
    tokenizer: PreTrainedTokenizerFast,
) -> tuple[list[int], list[int], list[npt.NDArray[np.bool_]]]:
    """Return row, position and target mask of each supervised token.

    A target mask is (length,) bool and marks patches and passage tokens.
    """
    length = batch.ids.shape[1]
    image = model.config.image_token_id
    runs = coordinate_ids(tokenizer)
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    rows: list[int] = []
    positions: list[int] = []
    targets = []
    spans = iter(batch.spans)

    def add_target(row: int, position: int, at: npt.NDArray[np.int64]) -> None:
        target = np.zeros(length, bool)
        target[at] = True
        rows.append(row)
        positions.append(position)
        targets.append(target)

    for row, sequence in enumerate(sequences):
        patches = np.flatnonzero(np.asarray(sequence.prefix) == image)
        for segment in sequence.segments:
            _, _, start, _ = next(spans)
            if segment.row in sequence.rows:
                own = patches[sequence.rows.index(segment.row) * side * side :][: side * side]
            else:
                own = patches[:0]
            boxed = any(f <= t < f + STEPS for t in segment.answer for f in runs)
            if segment.qa.kind == "reading" and not boxed:
                own = own[:0]  # The answer is copied from a passage.
            cells = own[_answer_patches(segment, side)] if len(own) else own
            words = (
                copied_positions(segment, sequence.prefix, tokenizer)
                if _can_be_copied(segment)
                else []
            )
            line = _matching_line(segment, sequence)
            corner = 0
            for offset, token in enumerate(segment.answer[:-1]):
                if any(first <= token < first + STEPS for first in runs):
                    coordinate = [] if line is None else [line.at + corner]
                    corner += 1
                    at = np.concatenate([cells, np.asarray(coordinate, np.int64)])
                elif offset < len(words):
                    at = np.asarray(words[offset : offset + 1])
                else:
                    at = cells
                if len(at):
                    add_target(row, start + offset, at)
    return rows, positions, targets


def _answer_patches(segment: Segment, side: int) -> npt.NDArray[np.bool_]:
    """Return which patches of an image show the answer."""
    box = segment.qa.box
    if box is not None:
        return assign_patches([box], side) >= 0
    return np.full(side * side, segment.qa.kind == "attribute")


def _can_be_copied(segment: Segment) -> bool:
    """Return whether the answer can be copied from a passage (not "2")."""
    qa = segment.qa
    return qa.kind in _COPIED_KINDS and qa.answer not in prompt.YES | prompt.NO


def _matching_line(segment: Segment, sequence: PackedSequence) -> PassageLine | None:
    """Return the passage line at the answer box, if it has a box."""
    box = segment.qa.box
    if box is None:
        return None
    own = [line for line in sequence.lines if line.row == segment.row]
    best = max(own, key=lambda line: iou(box, line.box), default=None)
    return best if best is not None and iou(box, best.box) >= _MIN_LINE_IOU else None


def copied_positions(
    segment: Segment, prefix: Sequence[int], tokenizer: PreTrainedTokenizerFast
) -> list[int]:
    """Return the prefix position that each answer token is copied from.

    The comparison uses characters, because " Fjord" in a passage and "Fjord" in an answer are
    different tokens. Empty if the passages do not contain the answer exactly once.
    """
    pieces = _token_texts(tokenizer)
    texts = [pieces[token] for token in prefix]
    owners = [position for position, text in enumerate(texts) for _ in text]
    # The number in "Passage 2" is not an answer.
    characters = _EVIDENCE_HEADER.sub(lambda head: "\0" * len(head.group()), "".join(texts))
    answer = segment.qa.answer
    if characters.count(answer) != 1:
        return []
    at = characters.index(answer)
    positions: list[int] = []
    for token in segment.answer:
        text = pieces[token]
        end = at + len(text)
        if not text or characters[at:end] != text:
            break
        # Use the first non-blank character, because blanks can belong to either token.
        positions.append(
            owners[at + len(text) - len(text.lstrip(" "))] if text.strip() else owners[at]
        )
        at = end
    return positions


@lru_cache(maxsize=16)
def _token_texts(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Return the text per token; empty for markup, coordinates, byte parts."""
    special = set(tokenizer.all_special_ids)
    special.update(first + step for first in coordinate_ids(tokenizer) for step in range(STEPS))
    texts = (tokenizer.decode([token]) for token in range(len(tokenizer)))
    return ["" if i in special or "\ufffd" in text else text for i, text in enumerate(texts)]
