"""Recall of one set of vectors in another: pure functions on arrays."""

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
    """The share of ``queries`` whose match is among the first 1, 5 and 10 of ``candidates``."""

    at: dict[int, float]
    chance: dict[int, float]
    queries: int
    candidates: int


def ranks(queries: Vectors, candidates: Vectors) -> Ranks:
    """For query i, how many candidates are nearer than candidate i: 0 is a perfect answer.

    Both are (n, d) and unit length. Ties count against the match, so that vectors that are all
    alike do not look perfect.
    """
    scores = queries @ candidates.T
    match = np.diagonal(scores)[:, None]
    better: Ranks = (scores >= match).sum(axis=1) - 1
    return better


def recall(rank: Ranks, candidates: int, among: Sequence[bool] | None = None) -> Recall:
    """Recall over all queries, or over those marked in ``among``, against all candidates."""
    kept = rank if among is None else rank[np.asarray(among, dtype=bool)]
    return Recall(
        at={k: float((kept < k).mean()) if len(kept) else float("nan") for k in DEPTHS},
        chance={k: min(1.0, k / candidates) for k in DEPTHS},
        queries=len(kept),
        candidates=candidates,
    )
