"""Compute 95% bootstrap confidence intervals over topics.

The bootstrap (Efron 1979; for retrieval systems: Sakai, SIGIR 2006) resamples with replacement and
takes the middle 95% of the results. Values of one topic (for example one question in two
languages) are not independent, so they are resampled together. To compare two systems, pass their
differences on the same queries.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

RESAMPLES = 5_000
_CHUNK = 250
_SEED = 20_240_229
_PERCENTILES = (2.5, 97.5)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean or ratio over ``n`` values and its 95% interval; NaN if ``n`` is 0."""

    value: float
    low: float
    high: float
    n: int


def bootstrap_mean(values: ArrayLike, topics: Sequence[str]) -> Estimate:
    """Estimate the mean of ``values``, shape (n,); ``topics`` has one topic per value."""
    numbers = np.asarray(values, dtype=np.float64)
    return bootstrap_ratio(numbers, np.ones_like(numbers), topics)


def bootstrap_ratio(
    numerators: ArrayLike, denominators: ArrayLike, topics: Sequence[str]
) -> Estimate:
    """Estimate sum(numerators) / sum(denominators), both of shape (n,).

    The resamples depend only on the number of topics, so results are reproducible. ``n`` counts
    the denominators above 0.
    """
    tops = np.asarray(numerators, dtype=np.float64)
    bottoms = np.asarray(denominators, dtype=np.float64)
    if not bottoms.sum():
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    _, topic = np.unique(np.asarray(topics), return_inverse=True)
    top_sums = np.bincount(topic, weights=tops).astype(np.float64)
    bottom_sums = np.bincount(topic, weights=bottoms).astype(np.float64)
    parts = np.split(_topic_counts(len(top_sums)), RESAMPLES // _CHUNK)
    with np.errstate(invalid="ignore"):
        ratios = np.concatenate([(part @ top_sums) / (part @ bottom_sums) for part in parts])
    low, high = np.nanpercentile(ratios, _PERCENTILES)
    value = float(tops.sum() / bottoms.sum())
    return Estimate(value, float(low), float(high), int((bottoms > 0).sum()))


@lru_cache(maxsize=32)
def _topic_counts(topics: int) -> NDArray[np.uint8]:
    """Return how often each topic is drawn, shape (RESAMPLES, topics)."""
    rng = np.random.default_rng([_SEED, topics])
    shares = np.full(topics, 1 / topics)
    parts = [rng.multinomial(topics, shares, size=_CHUNK) for _ in range(RESAMPLES // _CHUNK)]
    return np.concatenate([part.astype(np.uint8) for part in parts])
