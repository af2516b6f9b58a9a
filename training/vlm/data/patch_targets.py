"""Training targets of the vision tower per patch.

Targets of a patch: label, attributes and box of its object, the number of such objects in the
image, and the characters of its text.
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

MAX_COUNT: Final = 9
BINS: Final = 21
CHARACTERS: Final = 5
_MIN_OCCURRENCES: Final = 12
_MAX_VALUES: Final = 48
_IGNORE: Final = -100
#: Attributes in small print; patches of 16 pixels cannot resolve them, so their weight is low.
_SMALL_PRINT: Final = ("category", "millimetres", "name", "part", "text", "value")
_SMALL_PRINT_WEIGHT: Final = 0.15
_LETTER_WEIGHT: Final = 0.05
_LABEL_WEIGHT: Final = 4.0
_BOX_WEIGHT: Final = 2.0
#: Class weight of "no object", which is the target of most patches.
_NO_OBJECT_WEIGHT: Final = 0.25
Ints = npt.NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class TargetVocabulary:
    """Classes of the targets; index 0 of ``labels`` and ``alphabet`` is "none"."""

    labels: list[str]
    attributes: dict[str, list[str]]
    alphabet: list[str]

    @classmethod
    def of(cls, records: Sequence[Record]) -> TargetVocabulary:
        """Collect the classes that are frequent enough."""
        labels: Counter[str] = Counter()
        values: dict[str, Counter[str]] = {}
        for record in records:
            for item in record.items:
                label, attributes = visible_attributes(item)
                labels[label] += 1
                for key, value in attributes.items():
                    values.setdefault(key, Counter())[value] += 1
        letters = Counter(c for record in records for text, _ in record.texts for c in text)
        frequent = {
            k: [v for v, n in c.most_common() if n >= _MIN_OCCURRENCES] for k, c in values.items()
        }
        return cls(
            ["", *(label for label, n in labels.most_common() if n >= _MIN_OCCURRENCES)],
            {k: v for k, v in sorted(frequent.items()) if 1 < len(v) <= _MAX_VALUES},
            ["", *(letter for letter, _ in letters.most_common(80))],
        )

    @property
    def widths(self) -> list[int]:
        """Number of logits per target, in the order of ``PatchTargets.classes``."""
        return [
            len(self.labels),
            *(len(values) for values in self.attributes.values()),
            MAX_COUNT + 1,
            MAX_COUNT + 1,
            *[len(self.alphabet)] * CHARACTERS,
        ]

    @property
    def weights(self) -> list[float]:
        """Loss weight per target, in the order of ``widths``."""
        attribute_weights = [
            _SMALL_PRINT_WEIGHT if key in _SMALL_PRINT else 1.0 for key in self.attributes
        ]
        return [_LABEL_WEIGHT, *attribute_weights, 1.0, 1.0, *[_LETTER_WEIGHT] * CHARACTERS]


def visible_attributes(item: Item) -> tuple[str, dict[str, str]]:
    """Return visible label and attributes; a chart mark has its category."""
    mark = item.attributes.get("mark")
    if mark is None:
        return item.label, item.attributes
    return mark, {**item.attributes, "category": item.label}


@dataclass(frozen=True, slots=True)
class PatchTargets:
    """``classes`` (count, patches, targets), -100: ignored; ``boxes`` (..., 4)."""

    classes: Ints
    boxes: npt.NDArray[np.float32]

    def tensors(self, rows: Sequence[int], device: torch.device) -> tuple[Tensor, Tensor]:
        """Return ``classes`` (int64) and ``boxes`` of the images ``rows``."""
        classes = torch.from_numpy(self.classes[rows].astype(np.int64))
        return classes.to(device), torch.from_numpy(self.boxes[rows]).to(device)


def build_targets(
    records: Sequence[Record], vocabulary: TargetVocabulary, side: int
) -> PatchTargets:
    """Build targets for ``side`` x ``side`` patches of each record."""
    count, cells, kinds = len(records), side * side, len(vocabulary.widths)
    classes = np.full((count, cells, kinds), _IGNORE, np.int16)
    classes[:, :, 0] = 0
    boxes = np.full((count, cells, 4), np.nan, np.float32)
    labels = {label: i for i, label in enumerate(vocabulary.labels)}
    letters = {letter: i for i, letter in enumerate(vocabulary.alphabet)}
    values = [(k, {v: i for i, v in enumerate(vs)}) for k, vs in vocabulary.attributes.items()]
    first_letter = 1 + len(values) + 2
    for row, record in enumerate(records):
        visible_items = [visible_attributes(item) for item in record.items]
        kind = Counter(label for label, _ in visible_items)
        exact = Counter(item.phrase for item in record.items)
        owners = assign_patches([item.box for item in record.items], side)
        for cell in np.flatnonzero(owners >= 0):
            item = record.items[owners[cell]]
            label, attributes = visible_items[owners[cell]]
            target = classes[row, cell]
            target[0] = labels.get(label, _IGNORE)
            for column, (key, known) in enumerate(values, 1):
                target[column] = known.get(attributes.get(key, ""), _IGNORE)
            target[first_letter - 2] = min(kind[label], MAX_COUNT)
            target[first_letter - 1] = min(exact[item.phrase], MAX_COUNT)
            boxes[row, cell] = item.box
        owners = assign_patches([box for _, box in record.texts], side)
        for cell in np.flatnonzero(owners >= 0):
            text = record.texts[owners[cell]][0][:CHARACTERS].ljust(CHARACTERS, "\0")
            classes[row, cell, first_letter:] = [
                0 if c == "\0" else letters.get(c, _IGNORE) for c in text
            ]
    return PatchTargets(classes, boxes)


def assign_patches(boxes: Sequence[Box], side: int) -> npt.NDArray[np.int64]:
    """Return per patch the index of its smallest matching box, or -1."""
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
        matched = (shared[index] * side * side >= 0.3) | (shared[index] / areas[index] >= 0.25)
        owners[matched] = index
    return owners


class PatchHead(nn.Module):
    """Linear head from patch features to all logits."""

    def __init__(self, width: int, vocabulary: TargetVocabulary) -> None:
        super().__init__()
        self.widths = vocabulary.widths
        self.map = nn.Linear(width, sum(self.widths) + 4 * BINS)

    def forward(self, features: Tensor) -> tuple[list[Tensor], Tensor]:
        """Map features (batch, patches, width) to class and box logits."""
        logits = self.map(features)
        *classes, boxes = logits.split([*self.widths, 4 * BINS], -1)
        return classes, boxes.unflatten(-1, (4, BINS))


def compute_patch_loss(
    classes: list[Tensor],
    boxes: Tensor,
    truth: Tensor,
    corners: Tensor,
    weights: Sequence[float],
) -> tuple[Tensor, dict[str, float]]:
    """Return the weighted sum of cross entropies and metrics.

    ``truth`` (batch, patches, targets) int64; ``corners`` (batch, patches, 4), NaN without object;
    ``weights`` from ``TargetVocabulary.weights``. Metrics: label accuracy and mean corner error on
    patches with an object.
    """
    losses = []
    for index, (logits, weight) in enumerate(zip(classes, weights, strict=True)):
        target = truth[..., index].flatten()
        known_rows = target >= 0
        if bool(known_rows.any()):
            # Most targets apply to few patches; skip the others to save time.
            known = logits.flatten(0, -2)[known_rows].float()
            balance = None
            if index == 0:
                balance = torch.ones(known.shape[1], device=known.device)
                balance[0] = _NO_OBJECT_WEIGHT
            losses.append(weight * cross_entropy(known, target[known_rows], balance))
    has_object = ~corners[..., 0].isnan()
    metrics = {"label": 1.0, "corner": 0.0}
    if bool(has_object.any()):
        logits = boxes[has_object].float()
        place = corners[has_object].clamp(0, 1) * (BINS - 1)
        low = place.floor().clamp(max=BINS - 2)
        share = (place - low)[..., None]
        log = logits.log_softmax(-1)
        at = low.long()[..., None]
        near = log.gather(-1, at) * (1 - share) + log.gather(-1, at + 1) * share
        losses.append(-_BOX_WEIGHT * near.mean())
        with torch.no_grad():
            middle = (logits.softmax(-1) * torch.linspace(0, 1, BINS)).sum(-1)
            metrics["corner"] = float((middle - corners[has_object]).abs().mean())
            correct = classes[0][has_object].argmax(-1) == truth[..., 0][has_object]
            metrics["label"] = float(correct.float().mean())
    return torch.stack(losses).sum(), metrics
