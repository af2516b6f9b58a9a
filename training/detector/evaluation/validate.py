"""Figures during the training, on pictures of the validation split."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sightline.training.detector.data.album import Labels
from sightline.training.detector.data.features import States
from sightline.training.detector.data.phrases import Mask, Vocabulary
from sightline.training.detector.evaluation.matching import Floats, Outcome, Precision, judge
from sightline.training.detector.model.detector import PatchHeads, logits
from sightline.training.world.core.scene import Language

#: Absent things that are looked for in a picture, as a multiple of the present ones.
ABSENT_SHARE: Final = 1.0
_BATCH: Final = 64


@torch.no_grad()
def examine(
    heads: PatchHeads,
    phrases: Mapping[Language, Tensor],
    labels: Sequence[Labels],
    states: Sequence[States],
    vocabulary: Vocabulary,
) -> dict[str, float]:
    """Return AP at IoU 0.5 by family and for phrases with a color, and the mean IoU.

    The IoU is that of right boxes. Pictures take turns in the languages.
    """
    families: dict[str, Precision] = {}
    every, coloured, overlap = Precision(), Precision(), []
    start = 0
    for shard in states:
        for first in range(0, len(shard), _BATCH):
            patches = heads(torch.from_numpy(np.asarray(shard[first : first + _BATCH], np.float32)))
            scores = {k: logits(patches, each).numpy() for k, each in phrases.items()}
            for row, boxes in enumerate(patches.boxes.numpy()):
                each = labels[start + first + row]
                language: Language = "en" if (start + first + row) % 2 else "zh"
                for query, outcome in outcomes(
                    each, boxes, scores[language][row], vocabulary, start + first + row
                ):
                    families.setdefault(each.family, Precision()).outcomes.append(outcome)
                    every.outcomes.append(outcome)
                    if vocabulary.queries[query].colour:
                        coloured.outcomes.append(outcome)
                    if outcome.right.any():
                        overlap.append(outcome.overlap)
        start += len(shard)
    figures = {
        "ap": every.average(),
        "coloured": coloured.average(),
        "iou": float(np.mean(overlap)),
    }
    figures |= {name: families[name].average() for name in sorted(families)}
    return {name: round(value, 4) for name, value in figures.items()}


def outcomes(
    labels: Labels, boxes: Floats, scores: Floats, vocabulary: Vocabulary, seed: int
) -> list[tuple[int, Outcome]]:
    """Judge all phrases that name something in a picture, and as many that name nothing.

    ``boxes`` (patches, 4), ``scores`` (patches, queries). Things with a name of their own are left
    out: their names are print, which patches cannot resolve.
    """
    meant = vocabulary.meant(labels.targets)
    present, absent = choose_queries(meant, vocabulary, labels.family, seed)
    return [
        (
            int(query),
            judge(
                boxes,
                scores[:, query],
                [labels.targets[row].box for row in np.flatnonzero(meant[:, query])],
            ),
        )
        for query in (*present, *absent)
    ]


def choose_queries(
    meant: Mask, vocabulary: Vocabulary, family: str, seed: int
) -> tuple[list[int], list[int]]:
    """Return the queries of what a picture shows, and a sample of absent ones.

    Half of the absent ones differ from a present one in the color only, if there are as many.
    """
    rng = np.random.default_rng((seed, 7))
    usable = vocabulary.known(family) & np.array([not each.own for each in vocabulary.queries])
    shown = meant.any(axis=0)
    present = np.flatnonzero(shown & usable)
    names = {vocabulary.queries[row].name for row in present}
    missing = rng.permutation(np.flatnonzero(~shown & usable))
    near = [
        row
        for row in missing
        if vocabulary.queries[row].name in names and vocabulary.queries[row].colour
    ]
    wanted = round(ABSENT_SHARE * len(present))
    near = near[: wanted // 2]
    chosen = set(near)
    others = [row for row in missing if row not in chosen][: wanted - len(near)]
    return [int(row) for row in present], [int(row) for row in (*near, *others)]
