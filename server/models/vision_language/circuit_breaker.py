"""Retry delays and a circuit breaker for a failing endpoint."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, Literal

FIRST_DELAY_SECONDS: Final = 0.25
MAX_DELAY_SECONDS: Final = 8.0
#: A larger ``Retry-After`` value is ignored.
_MAX_RETRY_AFTER_SECONDS: Final = 3600.0

CircuitState = Literal["closed", "open", "half-open"]


def retry_delay_seconds(attempt: int, retry_after: float | None, rng: random.Random) -> float:
    """Return the delay after a failed attempt; ``attempt`` 0 is the first.

    The server's ``retry_after`` wins, plus jitter so that callers do not return all at once.
    Without it the delay is exponential with jitter.
    """
    if retry_after is not None:
        return retry_after + rng.uniform(0, FIRST_DELAY_SECONDS)
    longest = min(FIRST_DELAY_SECONDS * 2 ** min(attempt, 10), MAX_DELAY_SECONDS)
    return rng.uniform(longest / 2, longest)


def parse_retry_after(value: str | None, now: datetime | None = None) -> float | None:
    """Return the seconds of a ``Retry-After`` header (number or date), or ``None``."""
    if value is None or len(value) > 100:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            moment = parsedate_to_datetime(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            moment = moment.replace(tzinfo=UTC)
        seconds = (moment - (now or datetime.now(UTC))).total_seconds()
    # The comparison is false for NaN.
    return max(seconds, 0.0) if seconds <= _MAX_RETRY_AFTER_SECONDS else None


class CircuitOpenError(Exception):
    """The circuit is open because of ``reason``; requests are allowed in ``seconds``."""

    def __init__(self, reason: str, seconds: float) -> None:
        super().__init__(f"{reason}. Requests resume in {seconds:.0f} s.")


class CircuitBreaker:
    """Rejects requests after ``max_failures`` consecutive failures.

    closed      requests pass; ``max_failures`` failures in a row open the circuit
    open        requests are rejected for ``reset_seconds``
    half-open   one request passes; its outcome closes or opens the circuit

    Of a breaker that several callers share (``single_probe`` false), all requests pass when it is
    half-open: nobody waits for the request of another. ``clock`` is monotonic, in seconds.
    """

    def __init__(
        self,
        reason: str,
        max_failures: int,
        reset_seconds: float,
        clock: Callable[[], float],
        *,
        single_probe: bool = True,
    ) -> None:
        self._reason = reason
        self._single_probe = single_probe
        self._max_failures = max_failures
        self._reset_seconds = reset_seconds
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> CircuitState:
        """Return the state for the next request."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._remaining_seconds() <= 0 else "open"

    @contextmanager
    def request(self, is_failure: Callable[[BaseException], bool | None]) -> Iterator[None]:
        """Guard one request. Raises CircuitOpenError if it is not allowed.

        ``is_failure`` classifies exceptions; ``None`` means that they do not count.
        """
        probe = self._opened_at is not None
        if probe:
            if self._probing or self._remaining_seconds() > 0:
                raise CircuitOpenError(self._reason, max(self._remaining_seconds(), 0.0))
            self._probing = self._single_probe
        try:
            yield
        except BaseException as error:
            self._record(is_failure(error), probe)
            raise
        else:
            self._record(False, probe)
        finally:
            if probe:
                self._probing = False

    def _remaining_seconds(self) -> float:
        if self._opened_at is None:
            return 0.0
        return self._opened_at + self._reset_seconds - self._clock()

    def _record(self, failed: bool | None, probe: bool) -> None:
        if failed is None:
            return
        if not failed:
            self._failures, self._opened_at = 0, None
            return
        self._failures += 1
        if probe or (self._opened_at is None and self._failures >= self._max_failures):
            self._opened_at = self._clock()
