"""Where to look: heads of the language model are shown what holds the answer.

The world knows where each answer can be seen. The heads of one layer are trained to attend, from
every token of such an answer, to the patches of its box; to the whole picture, where a look of all
of it is asked for (its light, its paper); or, where the answer is copied out of a passage, to the
token of the passage that comes next. That token is known by the one before it, so one head of the
first layer is shown the token before each. Finding is what takes small models longest.

What is found must also get through. Heads that learn by themselves what to hand over learn boxes,
which are asked for most, and hand over nothing else: colours stayed at chance though the right
patches were looked at. So the heads start by handing over, together, a patch as it is.
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
from sightline.training.vlm.data.packing import Line, Pack, Segment
from sightline.training.vlm.data.patch_targets import owners_of
from sightline.training.vlm.data.tokenizer import STEPS, coordinate_ids

#: The layer whose heads are shown where to look, counted from 0.
LAYER: Final = 2
#: How loud a patch that is handed over begins.
_HANDED: Final = 0.3
#: Of how many tokens a batch the token before is asked.
_PREVIOUS_ASKED: Final = 512
#: Kinds of questions whose answers can be words of a passage.
_COPIED: Final = ("attribute", "comparison", "reading", "relation")
#: The overlap from which on a line of text is the thing that is asked for.
_SAME_PLACE: Final = 0.6
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
    rows, places, targets = looked_at(model, packs, batch, tokenizer)
    if not rows:
        return None
    logs = _looks(model, LAYER, slice(None), entering, batch, rows, places)
    goal = torch.from_numpy(np.stack(targets)).to(logs.device)[:, None]
    loss: Tensor = -logs.masked_fill(~goal, -torch.inf).logsumexp(-1).mean()
    return loss


def previous_loss(model: LlavaForConditionalGeneration, embeds: Tensor, batch: Batch) -> Tensor:
    """Minus the log of the attention that falls on the token before, in the first head of all.

    ``embeds`` (batch, length, width) is what the first layer is given. Asked of some of the tokens
    of text that stand right behind another.
    """
    text, owner = batch.ids != model.config.image_token_id, batch.owner
    asked = text[:, 1:] & text[:, :-1] & (owner[:, 1:] == owner[:, :-1]) & (owner[:, 1:] >= 0)
    rows, before = asked.nonzero(as_tuple=True)
    some = torch.linspace(0, len(rows) - 1, min(len(rows), _PREVIOUS_ASKED)).long()
    rows, before = rows[some], before[some]
    logs = _looks(model, 0, slice(1), embeds, batch, rows.tolist(), (before + 1).tolist())
    return nll_loss(logs[:, 0], before.to(logs.device))


@torch.no_grad()
def start_looks(model: LlavaForConditionalGeneration) -> None:
    """Let the heads that are shown where to look begin by handing over what they look at."""
    attention = model.model.language_model.layers[LAYER].self_attn
    for handing in (attention.v_proj, attention.o_proj):
        handing.weight += _HANDED**0.5 * torch.eye(
            handing.in_features, device=handing.weight.device
        )


def _looks(
    model: LlavaForConditionalGeneration,
    index: int,
    heads: slice,
    entering: Tensor,
    batch: Batch,
    rows: Sequence[int],
    places: Sequence[int],
) -> Tensor:
    """The logs of the attention that ``heads`` of layer ``index`` pay from ``places`` of ``rows``.

    ``entering`` (batch, length, width) is what the layer is given; ``rows`` are in order. Returns
    (places, heads, length), minus infinity where a place may not look.
    """
    language = model.model.language_model
    layer = language.layers[index]
    width = layer.self_attn.head_dim
    x = layer.input_layernorm(entering)
    chosen = slice(*(end * width for end in heads.indices(language.config.num_attention_heads)[:2]))
    # Only what is asked for is worked out: the queries of each row, side by side.
    row, place = torch.tensor(rows), torch.tensor(places)
    count = torch.bincount(row, minlength=len(x))
    slot = torch.arange(len(row)) - (count.cumsum(0) - count)[row]
    asked = torch.zeros(len(x), int(count.max()), dtype=torch.long)
    asked[row, slot] = place
    asked = asked.to(x.device)
    positions = batch.positions.to(x.device)
    turn = language.rotary_emb(x, positions)
    own = x.gather(1, asked[..., None].expand(-1, -1, x.shape[-1]))
    own_turn = language.rotary_emb(own, positions.gather(1, asked))
    attention = layer.self_attn
    parts = []
    for given, projection, by in (
        (own, attention.q_proj, own_turn),
        (x, attention.k_proj, turn),
    ):
        part = linear(given, projection.weight[chosen])
        part = part.view(*part.shape[:2], -1, width).transpose(1, 2)
        parts.append(apply_rotary_pos_emb(part, part, *by)[0])
    query, key = parts
    scores = (query @ key.transpose(-1, -2) * width**-0.5)[row, :, slot].float()
    seen = batch.visible(row, place).to(scores.device)[:, None]
    logs: Tensor = scores.masked_fill(~seen, -torch.inf).log_softmax(-1)
    return logs


def looked_at(
    model: LlavaForConditionalGeneration,
    packs: Sequence[Pack],
    batch: Batch,
    tokenizer: PreTrainedTokenizerFast,
) -> tuple[list[int], list[int], list[npt.NDArray[np.bool_]]]:
    """For each token that has a place to look at: its row, its own place, and that place.

    The third is (length,) booleans: patches, and tokens of passages.
    """
    length = batch.ids.shape[1]
    image = model.config.image_token_id
    runs = coordinate_ids(tokenizer)
    side = model.config.vision_config.image_size // model.config.vision_config.patch_size
    rows: list[int] = []
    places: list[int] = []
    targets = []
    spans = iter(batch.spans)

    def look(row: int, place: int, at: npt.NDArray[np.int64]) -> None:
        goal = np.zeros(length, bool)
        goal[at] = True
        rows.append(row)
        places.append(place)
        targets.append(goal)

    for row, pack in enumerate(packs):
        patches = np.flatnonzero(np.asarray(pack.prefix) == image)
        for segment in pack.segments:
            _, _, start, _ = next(spans)
            if segment.row in pack.rows:
                own = patches[pack.rows.index(segment.row) * side * side :][: side * side]
            else:
                own = patches[:0]
            boxed = any(f <= t < f + STEPS for t in segment.answer for f in runs)
            if segment.ask.kind == "reading" and not boxed:
                own = own[:0]  # it is read from a passage
            cells = own[_shows(segment, side)] if len(own) else own
            words = copied(segment, pack.prefix, tokenizer) if _can_be_copied(segment) else []
            line = _line_of(segment, pack)
            corner = 0
            for offset, token in enumerate(segment.answer[:-1]):
                if any(first <= token < first + STEPS for first in runs):
                    told = [] if line is None else [line.at + corner]
                    corner += 1
                    at = np.concatenate([cells, np.asarray(told, np.int64)])
                elif offset < len(words):
                    at = np.asarray(words[offset : offset + 1])
                else:
                    at = cells
                if len(at):
                    look(row, start + offset, at)
    return rows, places, targets


def _shows(segment: Segment, side: int) -> npt.NDArray[np.bool_]:
    """Which of a picture's patches show what is asked for."""
    box = segment.ask.box
    if box is not None:
        return owners_of([box], side) >= 0
    return np.full(side * side, segment.ask.kind == "attribute")


def _can_be_copied(segment: Segment) -> bool:
    """Whether a passage that holds the answer holds it for a reason: "2" stands in many."""
    ask = segment.ask
    return ask.kind in _COPIED and ask.answer not in prompt.YES | prompt.NO


def _line_of(segment: Segment, pack: Pack) -> Line | None:
    """The line of a passage that stands where the answer does, if its box is told."""
    box = segment.ask.box
    if box is None:
        return None
    own = [line for line in pack.lines if line.row == segment.row]
    best = max(own, key=lambda line: iou(box, line.box), default=None)
    return best if best is not None and iou(box, best.box) >= _SAME_PLACE else None


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
    """The text of every token; of markup, coordinates and parts of letters, nothing."""
    special = set(tokenizer.all_special_ids)
    special.update(first + step for first in coordinate_ids(tokenizer) for step in range(STEPS))
    texts = (tokenizer.decode([token]) for token in range(len(tokenizer)))
    return ["" if i in special or "\ufffd" in text else text for i, text in enumerate(texts)]
