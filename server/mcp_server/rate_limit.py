"""Rate limit and concurrency limit for each principal.

`SightlineServer` limits calls: a model gets a tool error. `limit_requests` limits HTTP
requests of any kind: the client gets status 429.
"""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.storage.errors import TooManyCallsError, shown

#: State of a request whose connection should not send the next one at once.
PAUSES_CONNECTION = "pauses_connection"


@dataclass(slots=True)
class _TokenBucket:
    tokens: float
    updated_at: float
    running_calls: int = 0


@dataclass(slots=True, kw_only=True)
class RateLimiter:
    """One token bucket and one count of running calls for each principal.

    ``per_minute`` is how much a principal may take (calls, requests or bytes), 0 without a limit.
    ``burst`` is the capacity of a bucket. ``max_concurrent`` limits running calls, 0 does not. A
    principal is forgotten when nothing of it runs and its bucket is full again, so that new
    principals cannot reset the limits of others.
    """

    per_minute: int
    burst: int
    max_concurrent: int = 0
    clock: Callable[[], float] = time.monotonic
    #: Least recently used first.
    _buckets: OrderedDict[str, _TokenBucket] = field(default_factory=OrderedDict, init=False)

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
        bucket = self._bucket(principal)
        bucket.running_calls += 1
        try:
            yield
        finally:
            bucket.running_calls -= 1

    def acquire(self, principal: str, amount: int = 1) -> int:
        """Take an amount and return 0, or return the seconds until it is available."""
        if not self.per_minute:
            return 0
        bucket = self._bucket(principal)
        self._refill(bucket)
        if bucket.tokens < amount:
            return max(1, math.ceil((amount - bucket.tokens) * 60 / self.per_minute))
        bucket.tokens -= amount
        return 0

    def _refill(self, bucket: _TokenBucket) -> None:
        now = self.clock()
        refill = (now - bucket.updated_at) * self.per_minute / 60
        bucket.tokens = min(self.burst, bucket.tokens + refill)
        bucket.updated_at = now

    def _bucket(self, principal: str) -> _TokenBucket:
        self._forget_idle()
        bucket = self._buckets.setdefault(principal, _TokenBucket(self.burst, self.clock()))
        self._buckets.move_to_end(principal)
        return bucket

    def _forget_idle(self) -> None:
        """Forget principals without running calls and with a full bucket."""
        while self._buckets:
            principal, bucket = next(iter(self._buckets.items()))
            self._refill(bucket)
            if bucket.running_calls:
                self._buckets.move_to_end(principal)
                return
            if self.per_minute and bucket.tokens < self.burst:
                return
            del self._buckets[principal]


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
                scope.setdefault("state", {})[PAUSES_CONNECTION] = True
        await respond(scope, receive, send)

    return handle
