"""Rate limit and concurrency limit for each principal.

`SightlineServer` limits calls: a model gets a tool error. `limit_requests` limits HTTP
requests of any kind: the client gets status 429.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cachetools import LRUCache
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.storage.errors import TooManyCallsError, shown

_MAX_PRINCIPALS = 10_000


@dataclass(slots=True)
class _TokenBucket:
    tokens: float
    updated_at: float
    running_calls: int = 0


@dataclass(slots=True, kw_only=True)
class RateLimiter:
    """One token bucket and one count of running calls for each principal.

    A limit of 0 means unlimited. ``burst`` is the capacity of a bucket. The limiter remembers the
    10,000 principals that called last.
    """

    calls_per_minute: int
    burst: int
    max_concurrent: int = 0
    clock: Callable[[], float] = time.monotonic
    _buckets: LRUCache[str, _TokenBucket] = field(
        default_factory=lambda: LRUCache(_MAX_PRINCIPALS), init=False
    )

    @contextmanager
    def limit(self, principal: str) -> Iterator[None]:
        """Count one call from start to end, or raise TooManyCallsError."""
        bucket = self._bucket(principal)
        if self.max_concurrent and bucket.running_calls >= self.max_concurrent:
            raise TooManyCallsError(
                f"{shown(principal)} has {bucket.running_calls} running calls, which is the "
                "maximum; try again after one of them has finished",
                seconds=1,
            )
        retry_after = self.acquire(principal)
        if retry_after:
            raise TooManyCallsError(
                f"{shown(principal)} has reached its rate limit; try again in {retry_after} s",
                seconds=retry_after,
            )
        bucket.running_calls += 1
        try:
            yield
        finally:
            bucket.running_calls -= 1

    def acquire(self, principal: str) -> int:
        """Take one token and return 0, or return the seconds until one is available."""
        if not self.calls_per_minute:
            return 0
        tokens_per_second = self.calls_per_minute / 60
        bucket, now = self._bucket(principal), self.clock()
        refill = (now - bucket.updated_at) * tokens_per_second
        bucket.tokens = min(self.burst, bucket.tokens + refill)
        bucket.updated_at = now
        if bucket.tokens < 1:
            return max(1, math.ceil((1 - bucket.tokens) / tokens_per_second))
        bucket.tokens -= 1
        return 0

    def _bucket(self, principal: str) -> _TokenBucket:
        return self._buckets.setdefault(principal, _TokenBucket(self.burst, self.clock()))


def limit_requests(app: ASGIApp, rate_limiter: RateLimiter) -> ASGIApp:
    """Return ASGI middleware that answers 429 if a principal sends too many requests.

    It must run after authentication.
    """

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        user = scope.get("user")
        respond = app
        if user is not None and user.is_authenticated:
            retry_after = rate_limiter.acquire(user.username)
            if retry_after:
                headers = {"Retry-After": str(retry_after)}
                respond = PlainTextResponse("too many requests\n", 429, headers)
        await respond(scope, receive, send)

    return handle
