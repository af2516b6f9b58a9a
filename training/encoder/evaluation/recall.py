"""Recall at k: pure functions on arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]
Ranks = npt.NDArray[np.int64]
DEPTHS = (1, 5, 10)


@dataclass(frozen=True, slots=True)
class Recall:
    """Share of queries whose match is among the first 1, 5 and 10 candidates."""

    at: dict[int, float]
    chance: dict[int, float]
    queries: int
    candidates: int


def ranks(queries: Vectors, candidates: Vectors) -> Ranks:
    """Return for query i the number of candidates nearer than candidate i.

    Both are (n, d) unit vectors. Ties count against the match, so that equal vectors do not look
    perfect.
    """
    scores = queries @ candidates.T
    match = np.diagonal(scores)[:, None]
    better: Ranks = (scores >= match).sum(axis=1) - 1
    return better


def recall(rank: Ranks, candidates: int, among: Sequence[bool] | None = None) -> Recall:
    """Return recall over all queries, or over those marked in ``among``."""
    kept = rank if among is None else rank[np.asarray(among, dtype=bool)]
    return Recall(
        at={k: float((kept < k).mean()) if len(kept) else float("nan") for k in DEPTHS},
        chance={k: min(1.0, k / candidates) for k in DEPTHS},
        queries=len(kept),
        candidates=candidates,
    )
