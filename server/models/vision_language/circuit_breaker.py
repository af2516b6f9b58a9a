"""Gives a failing endpoint rest, and its callers an answer at once.

closed      requests go through; enough failures in a row open it
open        requests are refused at once, until the rest is over
half-open   one request goes through; its outcome closes or opens it again
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

State = Literal["closed", "open", "half-open"]


class BreakerOpenError(Exception):
    """No request may be made now; ``seconds`` until one may."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"{seconds:.1f} s")
        self.seconds = seconds


class Breaker:
    """Counts failures in a row; ``clock`` is monotonic, in seconds."""

    def __init__(self, failures: int, seconds: float, clock: Callable[[], float]) -> None:
        self._most = failures
        self._seconds = seconds
        self._clock = clock
        self._failures = 0
        self._opened_at: float | None = None
        self._probing = False

    @property
    def state(self) -> State:
        """What the next request meets."""
        if self._opened_at is None:
            return "closed"
        return "half-open" if self._rest() <= 0 else "open"

    @contextmanager
    def attempt(self, is_failure: Callable[[BaseException], bool | None]) -> Iterator[None]:
        """One request. ``is_failure`` judges what it raised; ``None`` says nothing either way.

        Raises BreakerOpenError where it may not be made.
        """
        probe = self._opened_at is not None
        if probe:
            if self._probing or self._rest() > 0:
                raise BreakerOpenError(max(self._rest(), 0.0))
            self._probing = True
        try:
            yield
        except BaseException as error:
            self._judge(is_failure(error), probe)
            raise
        else:
            self._judge(False, probe)
        finally:
            if probe:
                self._probing = False

    def _rest(self) -> float:
        return 0.0 if self._opened_at is None else self._opened_at + self._seconds - self._clock()

    def _judge(self, failed: bool | None, probe: bool) -> None:
        if failed is None:
            return
        if not failed:
            self._failures, self._opened_at = 0, None
            return
        self._failures += 1
        if probe or (self._opened_at is None and self._failures >= self._most):
            self._opened_at = self._clock()
