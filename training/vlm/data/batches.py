"""Batches of packed sequences as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from sightline.training.vlm.data.packing import PackedSequence

_IGNORE: Final = -100


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded sequences: prefixes in the first ``prefix`` columns, then the questions.

    ``owner`` (batch, length): 0 for prefix tokens, n for tokens of question n, -1 for padding.
    ``labels`` (batch, length): the next token, or -100 outside of answers. ``spans`` are the
    answers: kind, row, first and last + 1 position whose next token is a label.
    """

    ids: Tensor
    positions: Tensor
    owner: Tensor
    prefix: int
    labels: Tensor
    rows: list[int]
    spans: list[tuple[str, int, int, int]]

    def attention_mask(self, rows: Tensor, query_positions: Tensor) -> Tensor:
        """Return the attention mask (n, length) for query positions (n,) in ``rows``."""
        owner = self.owner[rows]
        own = self.owner[rows, query_positions][:, None]
        causal = torch.arange(owner.shape[1]) <= query_positions[:, None]
        return ((owner == 0) | (owner == own)) & causal


def collate(sequences: Sequence[PackedSequence], pad: int) -> Batch:
    """Pad prefixes and questions to equal lengths."""
    prefix = max(len(sequence.prefix) for sequence in sequences)
    max_question_length = max(
        sum(len(s.question) + len(s.answer) for s in sequence.segments) for sequence in sequences
    )
    shape = len(sequences), prefix + max_question_length
    ids, positions = np.full(shape, pad, np.int64), np.zeros(shape, np.int64)
    labels, owner = np.full(shape, _IGNORE, np.int64), np.full(shape, -1, np.int64)
    spans = []
    for row, sequence in enumerate(sequences):
        prefix_length = len(sequence.prefix)
        ids[row, :prefix_length] = sequence.prefix
        positions[row, :prefix_length] = np.arange(prefix_length)
        owner[row, :prefix_length] = 0
        at = prefix
        for number, segment in enumerate(sequence.segments, 1):
            tokens = segment.question + segment.answer
            end = at + len(tokens)
            ids[row, at:end] = tokens
            positions[row, at:end] = prefix_length + np.arange(len(tokens))
            owner[row, at:end] = number
            first = at + len(segment.question) - 1
            labels[row, first : end - 1] = segment.answer
            spans.append((segment.qa.kind, row, first, end - 1))
            at = end
    return Batch(
        torch.from_numpy(ids),
        torch.from_numpy(positions),
        torch.from_numpy(owner),
        prefix,
        torch.from_numpy(labels),
        [r for sequence in sequences for r in sequence.rows],
        spans,
    )
