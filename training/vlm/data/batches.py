"""Packs of lessons side by side, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sightline.training.vlm.data.packing import Pack

_IGNORE: Final = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Packs side by side: the evidence of each in the first ``prefix`` columns, questions behind.

    ``owner`` (batch, length) says whose a token is: 0 the evidence's, n the n-th question's, -1
    nobody's. ``labels`` (batch, length) holds the token that comes next, -100 where nobody asks.
    ``spans`` are the answers: kind, row in the batch, first and last + 1 position whose next token
    is asked.
    """

    ids: Tensor
    positions: Tensor
    owner: Tensor
    prefix: int
    labels: Tensor
    rows: list[int]
    spans: list[tuple[str, int, int, int]]

    def visible(self, rows: Tensor, places: Tensor) -> Tensor:
        """Where the tokens at ``places`` (n,) of ``rows`` may look: (n, length)."""
        owner = self.owner[rows]
        own = self.owner[rows, places][:, None]
        past = torch.arange(owner.shape[1]) <= places[:, None]
        return ((owner == 0) | (owner == own)) & past


def collate(packs: Sequence[Pack], pad: int) -> Batch:
    """Pad evidence and questions to one length each."""
    prefix = max(len(pack.prefix) for pack in packs)
    asked = max(sum(len(s.question) + len(s.answer) for s in pack.segments) for pack in packs)
    shape = len(packs), prefix + asked
    ids, positions = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
    labels, owner = np.full(shape, _IGNORE, np.int64), np.full(shape, -1, np.int64)
    spans = []
    for row, pack in enumerate(packs):
        told = len(pack.prefix)
        ids[row, :told] = pack.prefix
        positions[row, :told] = np.arange(told)
        owner[row, :told] = 0
        at = prefix
        for number, segment in enumerate(pack.segments, 1):
            tokens = segment.question + segment.answer
            end = at + len(tokens)
            ids[row, at:end] = tokens
            positions[row, at:end] = told + np.arange(len(tokens))
            owner[row, at:end] = number
            first = at + len(segment.question) - 1
            labels[row, first : end - 1] = segment.answer
            spans.append((segment.ask.kind, row, first, end - 1))
            at = end
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(owner),
        prefix,
        torch.from_numpy(labels),
        [r for pack in packs for r in pack.rows],
        spans,
    )
