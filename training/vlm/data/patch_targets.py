"""What the vision tower is trained on: per patch, the thing that is there and all that it is.

For each patch: the label of the thing that owns it, each of its attributes, its box, how many such
things the picture holds, and the characters of the text that stands there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from sightline.training.vlm.data.album import Item, Record
from sightline.training.vlm.data.letterbox import Box

MOST: Final = 9
BINS: Final = 21
CHARACTERS: Final = 5
_RARE: Final = 12
_MOST_VALUES: Final = 48
_NONE: Final = -100
#: What is told by small print teaches a tower of 16-pixel patches little, and drowns the rest.
_PRINT: Final = ("category", "millimetres", "name", "part", "text", "value")
_PRINT_WEIGHT: Final = 0.15
_LETTER_WEIGHT: Final = 0.05
_LABEL_WEIGHT: Final = 4.0
_BOX_WEIGHT: Final = 2.0
#: "Nothing is here" is what most patches would answer, and says little.
_NOTHING_WEIGHT: Final = 0.25
Ints = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class Words:
    """The classes that patches are told by; index 0 of ``labels`` and ``alphabet`` is "nothing"."""

    labels: list[str]
    attributes: dict[str, list[str]]
    alphabet: list[str]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Words:
        """Collect the words that are frequent enough to be learnt."""
        labels: Counter[str] = Counter()
        values: dict[str, Counter[str]] = {}
        for record in records:
            for item in record.items:
                label, attributes = visible(item)
                labels[label] += 1
                for key, value in attributes.items():
                    values.setdefault(key, Counter())[value] += 1
        letters = Counter(c for record in records for text, _ in record.readings for c in text)
        frequent = {k: [v for v, n in c.most_common() if n >= _RARE] for k, c in values.items()}
        return cls(
            ["", *(label for label, n in labels.most_common() if n >= _RARE)],
            {k: v for k, v in sorted(frequent.items()) if 1 < len(v) <= _MOST_VALUES},
            ["", *(letter for letter, _ in letters.most_common(80))],
        )

    @property
    def widths(self) -> list[int]:
        """The number of logits of each target, in the order of ``Targets.classes``."""
        return [
            len(self.labels),
            *(len(values) for values in self.attributes.values()),
            MOST + 1,
            MOST + 1,
            *[len(self.alphabet)] * CHARACTERS,
        ]

    @property
    def weights(self) -> list[float]:
        """How much each target counts in the loss, in the order of ``widths``."""
        print_or_not = [_PRINT_WEIGHT if key in _PRINT else 1.0 for key in self.attributes]
        return [_LABEL_WEIGHT, *print_or_not, 1.0, 1.0, *[_LETTER_WEIGHT] * CHARACTERS]


def visible(item: Item) -> tuple[str, dict[str, str]]:
    """The label and attributes of a thing as seen: a chart's mark bears its category as a name."""
    mark = item.attributes.get("mark")
    if mark is None:
        return item.label, item.attributes
    return mark, {**item.attributes, "category": item.label}


@dataclass(frozen=True, slots=True)
class Targets:
    """``classes`` (count, patches, targets), -100: not asked; ``boxes`` (count, patches, 4)."""

    classes: Ints
    boxes: npt.NDArray[np.float32]

    def tensors(self, rows: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """``classes`` (int64) and ``boxes`` of the pictures ``rows``."""
        classes = torch.from_numpy(self.classes[rows].astype(np.int64))
        return classes.to(device), torch.from_numpy(self.boxes[rows]).to(device)


def targets_of(records: Sequence[Record], words: Words, side: int) -> Targets:
    """The truth for every patch of every square, ``side`` by ``side`` patches each."""
    count, cells, kinds = len(records), side * side, len(words.widths)
    classes = np.full((count, cells, kinds), _NONE, np.int16)
    classes[:, :, 0] = 0
    boxes = np.full((count, cells, 4), np.nan, np.float32)
    labels = {label: i for i, label in enumerate(words.labels)}
    letters = {letter: i for i, letter in enumerate(words.alphabet)}
    values = [(k, {v: i for i, v in enumerate(vs)}) for k, vs in words.attributes.items()]
    first_letter = 1 + len(values) + 2
    for row, record in enumerate(records):
        seen = [visible(item) for item in record.items]
        kind = Counter(label for label, _ in seen)
        exact = Counter(item.phrase for item in record.items)
        owners = owners_of([item.box for item in record.items], side)
        for cell in np.flatnonzero(owners >= 0):
            item = record.items[owners[cell]]
            label, attributes = seen[owners[cell]]
            target = classes[row, cell]
            target[0] = labels.get(label, _NONE)
            for column, (key, known) in enumerate(values, 1):
                target[column] = known.get(attributes.get(key, ""), _NONE)
            target[first_letter - 2] = min(kind[label], MOST)
            target[first_letter - 1] = min(exact[item.phrase], MOST)
            boxes[row, cell] = item.box
        owners = owners_of([box for _, box in record.readings], side)
        for cell in np.flatnonzero(owners >= 0):
            text = record.readings[owners[cell]][0][:CHARACTERS].ljust(CHARACTERS, "\0")
            classes[row, cell, first_letter:] = [
                0 if c == "\0" else letters.get(c, _NONE) for c in text
            ]
    return Targets(classes, boxes)


def owners_of(boxes: Sequence[Box], side: int) -> npt.NDArray[np.int64]:
    """The index of the smallest box that covers 30% of a cell or has 25% of itself in it; or -1."""
    owners = np.full(side * side, -1)
    if not boxes:
        return owners
    b = np.asarray(boxes, np.float64)
    edges = np.arange(side) / side
    across = np.minimum(b[:, None, 2], edges + 1 / side) - np.maximum(b[:, None, 0], edges)
    down = np.minimum(b[:, None, 3], edges + 1 / side) - np.maximum(b[:, None, 1], edges)
    shared = np.clip(down, 0, None)[:, :, None] * np.clip(across, 0, None)[:, None, :]
    shared = shared.reshape(len(boxes), -1)
    areas = np.maximum((b[:, 2] - b[:, 0]) * (b[:, 3] - b[:, 1]), 1e-6)
    for index in np.argsort(-areas, kind="stable"):
        held = (shared[index] * side * side >= 0.3) | (shared[index] / areas[index] >= 0.25)
        owners[held] = index
    return owners


class DenseHead(nn.Module):
    """One linear map from a patch's feature to all logits: what it finds, a projector can too."""

    def __init__(self, width: int, words: Words) -> None:
        super().__init__()
        self.widths = words.widths
        self.map = nn.Linear(width, sum(self.widths) + 4 * BINS)

    def forward(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """Features (batch, patches, width) to class logits and box logits (..., 4, bins)."""
        logits = self.map(features)
        *classes, boxes = logits.split([*self.widths, 4 * BINS], -1)
        return classes, boxes.unflatten(-1, (4, BINS))


def dense_loss(
    classes: list[Tensor],
    boxes: Tensor,
    truth: Tensor,
    corners: Tensor,
    weights: Sequence[float],
) -> tuple[Tensor, dict[str, float]]:
    """Sum of cross entropies, and figures: label accuracy on things, mean corner error.

    ``truth`` (batch, patches, targets) int64; ``corners`` (batch, patches, 4), NaN without a thing;
    ``weights`` are ``Words.weights``.
    """
    losses = []
    for index, (logits, weight) in enumerate(zip(classes, weights, strict=True)):
        target = truth[..., index].flatten()
        asked = target >= 0
        if bool(asked.any()):
            # Most targets are asked of few patches: logits of the others need no exponentials.
            known = logits.flatten(0, -2)[asked].float()
            balance = None
            if index == 0:
                balance = torch.ones(known.shape[1], device=known.device)
                balance[0] = _NOTHING_WEIGHT
            losses.append(weight * cross_entropy(known, target[asked], balance))
    there = ~corners[..., 0].isnan()
    figures = {"label": 1.0, "corner": 0.0}
    if bool(there.any()):
        logits = boxes[there].float()
        place = corners[there].clamp(0, 1) * (BINS - 1)
        low = place.floor().clamp(max=BINS - 2)
        share = (place - low)[..., None]
        log = logits.log_softmax(-1)
        at = low.long()[..., None]
        near = log.gather(-1, at) * (1 - share) + log.gather(-1, at + 1) * share
        losses.append(-_BOX_WEIGHT * near.mean())
        with torch.no_grad():
            middle = (logits.softmax(-1) * torch.linspace(0, 1, BINS)).sum(-1)
            figures["corner"] = float((middle - corners[there]).abs().mean())
            found = classes[0][there].argmax(-1) == truth[..., 0][there]
            figures["label"] = float(found.float().mean())
    return torch.stack(losses).sum(), figures
