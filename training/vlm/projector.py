"""Where the projector starts: each hidden unit is something the tower knows, and says its word.

The tower's dense head names labels, colours, counts and corners by linear maps. The projector's
first layer begins as those maps, so that a unit is active where its class is; its second layer
gives each unit the embedding of the words for it. What is left to learn is how the language model
likes to be told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor
from transformers import LlavaForConditionalGeneration, PreTrainedTokenizerFast

from sightline.training.vlm.dense import BINS, DenseHead, Words
from sightline.training.vlm.tokenizer import STEPS, coordinate_ids

#: A unit speaks where its class stands out by this many standard deviations.
_THRESHOLD: Final = 1.0
#: Length of a spoken word's embedding, as a share of the usual.
_VOICE: Final = 0.6
#: The coordinate of each corner value among the roles of the tokenizer: x0, y0, x1, y1.
_ROLES: Final = (0, 1, 1, 2)


@dataclass(frozen=True, slots=True)
class _Unit:
    """A row of the dense head, and the tokens that say it; ``corner`` marks a coordinate's."""

    row: int
    group: tuple[int, int]
    tokens: list[int]
    corner: int = -1


@torch.no_grad()
def start_projector(
    model: LlavaForConditionalGeneration,
    head: DenseHead,
    words: Words,
    tokenizer: PreTrainedTokenizerFast,
    sample: Tensor,
) -> None:
    """Set the projector as the module says; units beyond the known classes stay random.

    ``sample`` is some of the tower's features, (pictures, patches, width).
    """
    projector = model.model.multi_modal_projector
    embeddings = model.get_input_embeddings().weight.cpu()
    sample = sample.flatten(0, 1)
    width = projector.linear_1.weight.shape[0]
    first = torch.randn(width, sample.shape[1]) / sample.shape[1] ** 0.5
    second = torch.randn(embeddings.shape[1], width)
    places = torch.randn(4, embeddings.shape[1])
    weight = head.map.weight.detach().cpu().float()
    for index, unit in enumerate(_units(words, tokenizer)[:width]):
        # Logits mean something beside those of their own group alone.
        first[index] = weight[unit.row] - weight[slice(*unit.group)].mean(0)
        voice = embeddings[unit.tokens].mean(0)
        voice = voice / voice.norm()
        if unit.corner >= 0:
            place = places[unit.corner]
            voice = voice + 0.5 * place / place.norm()
        second[:, index] = voice
    active = sample @ first.T
    first = first / active.std(0)[:, None]
    second = second / second.norm(dim=0) * embeddings.norm(dim=1).mean() * _VOICE
    bias = -(active / active.std(0)).mean(0) - _THRESHOLD
    for target, value in (
        (projector.linear_1.weight, first),
        (projector.linear_1.bias, bias),
        (projector.linear_2.weight, second),
        (projector.linear_2.bias, torch.zeros(len(second))),
    ):
        target.copy_(value)


def _units(words: Words, tokenizer: PreTrainedTokenizerFast) -> list[_Unit]:
    """Corners first, then labels, colours, counts and the other attributes."""

    def spoken(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(f" {text}", add_special_tokens=False)
        return ids

    widths = words.widths
    starts = np.cumsum([0, *widths]).tolist()
    groups = [(starts[i], starts[i + 1]) for i in range(len(widths))]
    runs = coordinate_ids(tokenizer)
    units = []
    for corner, role in enumerate(_ROLES):
        begin = starts[-1] + corner * BINS
        for step in range(BINS):
            value = round(step / (BINS - 1) * (STEPS - 1))
            group = (begin, begin + BINS)
            units.append(_Unit(begin + step, group, [runs[role] + value], corner))
    units += [
        _Unit(groups[0][0] + i, groups[0], spoken(label))
        for i, label in enumerate(words.labels)
        if label
    ]
    keys = sorted(words.attributes, key=lambda key: key != "colour")
    order = {key: i for i, key in enumerate(words.attributes, 1)}
    counts = len(words.attributes) + 1
    for key in keys:
        group = groups[order[key]]
        units += [
            _Unit(group[0] + i, group, spoken(value))
            for i, value in enumerate(words.attributes[key])
        ]
        if key == "colour":
            group = groups[counts]
            units += [_Unit(group[0] + n, group, spoken(str(n))) for n in range(1, 7)]
    return units
