"""Intervals of means: what another set of such queries would give.

The bootstrap (Efron 1979; for comparing retrieval systems, Sakai, SIGIR 2006): queries are drawn
again with replacement, and the middle 95% of the means are the interval. Queries of one topic (a
question in two languages) are drawn together, for they are no independent evidence. Two systems
are compared on the same queries: the interval is of the mean difference.
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
_TAIL_PERCENT = 2.5


@dataclass(frozen=True, slots=True)
class Estimate:
    """A mean over ``n`` queries and its 95% interval."""

    value: float
    low: float
    high: float
    n: int

    @property
    def is_above_zero(self) -> bool:
        """Whether the whole interval is."""
        return self.low > 0


def estimate(values: ArrayLike, topics: Sequence[str]) -> Estimate:
    """The mean of ``values``, of shape (n,), and its interval; ``topics`` has the topic of each.

    The draws are the same for the same topics, so intervals do not change from run to run. No
    values give not a number.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if not len(numbers):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    _, topic = np.unique(np.asarray(topics), return_inverse=True)
    sums = np.bincount(topic, weights=numbers).astype(np.float64)
    sizes = np.bincount(topic).astype(np.float64)
    drawn = _drawn(len(sums))
    parts = np.split(drawn, RESAMPLES // _CHUNK)
    means = np.concatenate([(part @ sums) / (part @ sizes) for part in parts])
    low, high = np.percentile(means, [_TAIL_PERCENT, 100 - _TAIL_PERCENT])
    return Estimate(float(numbers.mean()), float(low), float(high), len(numbers))


@lru_cache(maxsize=32)
def _drawn(topics: int) -> NDArray[np.uint8]:
    """How often each topic is drawn, of shape (RESAMPLES, topics): drawing costs most by far."""
    rng = np.random.default_rng([_SEED, topics])
    share = np.full(topics, 1 / topics)
    parts = [rng.multinomial(topics, share, size=_CHUNK) for _ in range(RESAMPLES // _CHUNK)]
    return np.concatenate([part.astype(np.uint8) for part in parts])
