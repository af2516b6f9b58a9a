"""A weighted semaphore with a fair share per caller."""

from __future__ import annotations

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

from sightline.storage.errors import ModelOverloadedError

#: What one caller may hold of the whole capacity.
_MAX_SHARE: Final = 0.5
_MAX_REMEMBERED_TURNS: Final = 4096


class _Request(NamedTuple):
    amount: int
    admitted: asyncio.Future[None]


class FairSemaphore:
    """Limits what all calls hold together, in any unit (slots, bytes).

    A caller holds at most half of ``capacity``, or ``max_per_caller``; None (the operator) may hold
    all of it. A larger request is admitted alone. Callers that wait take turns, and the requests of
    one keep their order. ``max_waiting`` limits the waiting requests of one caller, which wait for
    ``what``.
    """

    def __init__(
        self, capacity: int, *, max_waiting: int, what: str, max_per_caller: int | None = None
    ) -> None:
        if max_per_caller is None:
            max_per_caller = int(capacity * _MAX_SHARE)
        self._max_per_caller = max(1, max_per_caller)
        self._capacity = self._free = capacity
        self._max_waiting = max_waiting
        self._what = what
        self._held: dict[str | None, int] = {}
        self._waiting: dict[str | None, deque[_Request]] = {}
        # When each caller was admitted last, also of those that do not wait now: who waits again
        # right after its turn would otherwise always be behind who never stops to wait.
        self._turns: dict[str | None, int] = {}
        self._turn = itertools.count(1)

    @property
    def waiting(self) -> int:
        """Number of requests that wait."""
        return sum(map(len, self._waiting.values()))

    @asynccontextmanager
    async def hold(self, caller: str | None, amount: int = 1) -> AsyncIterator[None]:
        """Wait for the amount and hold it inside the block.

        Raises ModelOverloadedError if too many requests of the caller wait.
        """
        if not amount:
            yield
            return
        amount = min(amount, self._max_held(caller))
        queue = self._waiting.setdefault(caller, deque())
        if len(queue) >= self._max_waiting:
            raise ModelOverloadedError(
                f"{len(queue)} of your calls already wait for {self._what}; try again when some of "
                "them have finished"
            )
        request = _Request(amount, asyncio.get_running_loop().create_future())
        queue.append(request)
        self._admit()
        try:
            await request.admitted
        except asyncio.CancelledError:
            if request.admitted.cancelled():
                self._admit()
            else:  # admitted and cancelled in the same turn of the event loop
                self._release(caller, amount)
            raise
        try:
            yield
        finally:
            self._release(caller, amount)

    def _max_held(self, caller: str | None) -> int:
        return self._capacity if caller is None else self._max_per_caller

    def _release(self, caller: str | None, amount: int) -> None:
        self._free += amount
        self._held[caller] -= amount
        if not self._held[caller]:
            del self._held[caller]
        self._admit()

    def _admit(self) -> None:
        """Admit the first request of each caller in turn, as far as there is room."""
        while turn := self._next():
            (key,) = turn
            request = self._waiting[key].popleft()
            self._turns.pop(key, None)
            self._turns[key] = next(self._turn)  # at the end: the oldest are forgotten first
            if len(self._turns) > _MAX_REMEMBERED_TURNS:
                del self._turns[next(iter(self._turns))]
            self._free -= request.amount
            self._held[key] = self._held.get(key, 0) + request.amount
            request.admitted.set_result(None)

    def _next(self) -> tuple[str | None] | None:
        """Return whose turn it is, None if nobody can be admitted.

        A tuple, because a caller can be None.
        """
        for key, queue in tuple(self._waiting.items()):
            while queue and queue[0].admitted.cancelled():
                queue.popleft()
            if not queue:
                del self._waiting[key]
        for key in sorted(self._waiting, key=lambda key: self._turns.get(key, 0)):
            amount = self._waiting[key][0].amount
            if self._held.get(key, 0) + amount > self._max_held(key):
                continue
            # Smaller requests behind it must not starve a large one.
            return (key,) if amount <= self._free else None
        return None
