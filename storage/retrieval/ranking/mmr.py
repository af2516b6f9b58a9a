"""Examples: more like these, less like those, and not all of a kind."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sightline.storage.interfaces import Vectors
from sightline.storage.retrieval.retrievers.vector_retriever import unit

UNLIKE_SHARE = 0.5
"""Rocchio's gamma: how far a query moves away from what it should not be like."""


def steer(
    base: Vectors | None, like: Vectors, unlike: Vectors, centre: Vectors | None
) -> Vectors | None:
    """A query vector: ``base`` (a picture, or words) and liked examples, away from unlike ones.

    ``base`` and ``centre`` are float32 of shape (dimension,), ``like`` and ``unlike`` of shape
    (n, dimension), n may be 0. ``centre`` is the mean of the pictures searched: what examples have
    in common with everything is neither liked nor disliked, so it is taken out of what is pushed
    away. None when there is nothing to look for.
    """
    wanted = [*like] if base is None else [base, *like]
    if not wanted:
        return None
    query = unit(np.mean([unit(vector) for vector in wanted], axis=0))
    if len(unlike):
        away = np.mean([unit(vector) for vector in unlike], axis=0)
        away = away if centre is None else away - centre
        query = query - UNLIKE_SHARE * away
    return unit(query.astype(np.float32))


def diversify(
    scores: Sequence[float], vectors: Vectors, diversity: float, length: int
) -> list[int]:
    """Maximal marginal relevance: places of the chosen, in order of choice.

    ``vectors`` are unit, float32 of shape (len(scores), dimension); a zero row is like nothing.
    Relevance is the score, best 1 and worst 0; each choice costs ``diversity`` (0 to 1) times its
    likeness to the nearest one chosen before.
    """
    if not len(scores):
        return []
    relevance = np.asarray(scores, dtype=np.float32)
    spread = float(relevance.max() - relevance.min())
    relevance = (relevance - relevance.min()) / spread if spread > 0 else np.ones_like(relevance)
    likeness = np.zeros(len(scores), dtype=np.float32)
    open_ = np.ones(len(scores), dtype=bool)
    chosen: list[int] = []
    while len(chosen) < min(length, len(scores)):
        value = (1 - diversity) * relevance - diversity * likeness
        value[~open_] = -np.inf
        best = int(value.argmax())
        chosen.append(best)
        open_[best] = False
        likeness = np.maximum(likeness, vectors @ vectors[best])
    return chosen


def duplicates_of(
    hashes: Sequence[int | None],
    vectors: Vectors,
    *,
    same_bits: int = 4,
    alike_bits: int = 12,
    alike: float = 0.97,
) -> list[int]:
    """For each picture the place of the earliest that it nearly equals; its own when it is new.

    ``hashes`` are 64-bit perceptual hashes; ``vectors`` unit, float32 of shape (n, dimension).
    Nearly equal are pictures whose hashes differ in at most ``same_bits``, or in ``alike_bits``
    when their vectors have a cosine of ``alike`` as well: a crop or another exposure.
    """
    leaders: list[int] = []
    group = list(range(len(hashes)))
    for place, value in enumerate(hashes):
        for leader in leaders:
            other = hashes[leader]
            if value is None or other is None:
                continue
            bits = ((value ^ other) & 0xFFFF_FFFF_FFFF_FFFF).bit_count()
            if bits <= same_bits or (
                bits <= alike_bits and float(vectors[place] @ vectors[leader]) >= alike
            ):
                group[place] = leader
                break
        else:
            leaders.append(place)
    return group
