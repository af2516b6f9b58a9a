"""How much one principal may ask for: so many calls a minute, and so many at once."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sightline.storage.errors import TooManyCallsError, shown

_MOST_KEPT = 10_000


@dataclass(slots=True)
class _Bucket:
    """What is left of an allowance, at a time."""

    left: float
    at: float
    running: int = 0


class Allowance:
    """One for each principal: a bucket that fills evenly, and a count of what runs."""

    def __init__(
        self,
        *,
        per_minute: int,
        burst: int,
        at_once: int = 0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """0 of ``per_minute`` or ``at_once`` sets no limit; ``burst`` is what a bucket holds."""
        self._per_second = per_minute / 60
        self._burst = burst
        self._at_once = at_once
        self._clock = clock
        self._buckets: dict[str, _Bucket] = {}

    @contextmanager
    def one(self, principal: str) -> Iterator[None]:
        """A call from its beginning to its end. Raises TooManyCallsError, which says when."""
        bucket = self._bucket(principal)
        if self._at_once and bucket.running >= self._at_once:
            raise TooManyCallsError(
                f"{shown(principal)} has {bucket.running} calls running, and may have no more; "
                "try again when one of them has ended",
                seconds=1,
            )
        wait = self.take(principal)
        if wait:
            raise TooManyCallsError(
                f"{shown(principal)} has made its calls of this minute; try again in {wait} s",
                seconds=wait,
            )
        bucket.running += 1
        try:
            yield
        finally:
            bucket.running -= 1

    def take(self, principal: str) -> int:
        """Take one from the bucket: 0, or whole seconds until there is one again."""
        if not self._per_second:
            return 0
        bucket, now = self._bucket(principal), self._clock()
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._per_second)
        bucket.at = now
        if bucket.left < 1:
            return max(1, math.ceil((1 - bucket.left) / self._per_second))
        bucket.left -= 1
        return 0

    def _bucket(self, principal: str) -> _Bucket:
        bucket = self._buckets.get(principal)
        if bucket is None:
            if len(self._buckets) >= _MOST_KEPT:
                self._buckets = {
                    name: each for name, each in self._buckets.items() if not self._idle(each)
                }
            bucket = self._buckets[principal] = _Bucket(self._burst, self._clock())
        return bucket

    def _idle(self, bucket: _Bucket) -> bool:
        """Whether a bucket is full by now, so that a new one would be the same."""
        filled = bucket.left + (self._clock() - bucket.at) * self._per_second
        return bucket.running == 0 and (not self._per_second or filled >= self._burst)
