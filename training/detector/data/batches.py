"""Batches of a step: pictures, and phrases that are looked for in all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from sightline.training.detector.data.album import Labels, Shard
from sightline.training.detector.data.features import States
from sightline.training.detector.data.phrases import Vocabulary
from sightline.training.detector.model.losses import assign_patches
from sightline.training.detector.recipe import Recipe
from sightline.training.world.core.scene import LANGUAGES

#: Share of the phrases of a step that name something in one of its pictures.
_MEANT_SHARE: Final = 0.7
#: Share of phrases in their shortest wording.
_PLAIN_SHARE: Final = 0.4


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of a step with n pictures and q phrases.

    ``states`` (n, 1 + patches, width); ``boxes`` (n, patches, 4) of the thing a patch shows, NaN
    without one; ``rows`` (q,) are places in the vocabulary's texts; ``meant`` (n, patches, q) says
    whether the phrase names what the patch shows, ``known`` (n, 1, q) whether that is known.
    """

    states: Tensor
    boxes: Tensor
    rows: Tensor
    meant: Tensor
    known: Tensor


class Sampler:
    """Samples batches. Batch ``step`` depends only on the seed and ``step``."""

    def __init__(
        self,
        shards: Sequence[Shard],
        states: Sequence[States],
        vocabulary: Vocabulary,
        recipe: Recipe,
    ) -> None:
        self._vocabulary, self._recipe, self._states = vocabulary, recipe, states
        self._labels: list[Labels] = [each for shard in shards for each in shard.labels]
        self._starts = np.cumsum([0, *(len(shard.labels) for shard in shards)])
        self._side = int((states[0].shape[1] - 1) ** 0.5)
        self._owners = [
            assign_patches([target.box for target in labels.targets], self._side)
            for labels in self._labels
        ]

    def batch(self, step: int) -> Batch:
        """Return the batch of a step, counted from 0."""
        rng = np.random.default_rng((self._recipe.seed, step))
        chosen = self._chosen(step)
        labels = [self._labels[i] for i in chosen]
        meant = [self._vocabulary.meant(each.targets) for each in labels]
        queries = self._queries(rng, np.asarray(np.concatenate(meant).any(axis=0)))
        patches = self._side**2
        boxes = np.full((len(chosen), patches, 4), np.nan, np.float32)
        named = np.zeros((len(chosen), patches, len(queries)), np.float32)
        known = np.zeros((len(chosen), 1, len(queries)), np.float32)
        for row, (i, each) in enumerate(zip(chosen, labels, strict=True)):
            owners = self._owners[i]
            owned = np.flatnonzero(owners >= 0)
            if each.targets:
                boxes[row, owned] = np.asarray([t.box for t in each.targets])[owners[owned]]
                named[row, owned] = meant[row][:, queries][owners[owned]]
            known[row, 0] = self._vocabulary.known(each.family)[queries]
        return Batch(
            torch.from_numpy(np.stack([self._state(i) for i in chosen]).astype(np.float32)),
            torch.from_numpy(boxes),
            torch.tensor([self._wording(rng, query) for query in queries]),
            torch.from_numpy(named),
            torch.from_numpy(known),
        )

    def _state(self, picture: int) -> States:
        shard = int(np.searchsorted(self._starts, picture, side="right")) - 1
        state: States = self._states[shard][picture - self._starts[shard]]
        return state

    def _chosen(self, step: int) -> list[int]:
        """Choose the pictures of a step: families take turns in the album, so any order does."""
        size, count = self._recipe.batch, len(self._labels)
        places = np.arange(step * size, (step + 1) * size)
        orders = {
            epoch: np.random.default_rng((self._recipe.seed, epoch, 1)).permutation(count)
            for epoch in np.unique(places // count)
        }
        return [int(orders[place // count][place % count]) for place in places]

    def _queries(
        self, rng: np.random.Generator, present: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Choose queries: mostly of what some picture shows; a present one is absent in others."""
        shown, absent = np.flatnonzero(present), np.flatnonzero(~present)
        most = int(self._recipe.phrases * _MEANT_SHARE)
        shown = rng.permutation(shown)[:most]
        absent = rng.permutation(absent)[: self._recipe.phrases - len(shown)]
        return np.concatenate([shown, absent])

    def _wording(self, rng: np.random.Generator, query: int) -> int:
        rows = self._vocabulary.rows[query][LANGUAGES[int(rng.integers(2))]]
        return rows[0] if rng.random() < _PLAIN_SHARE else rows[int(rng.integers(len(rows)))]
