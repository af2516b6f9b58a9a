"""Continuous batching: concurrent calls share the forward passes of a model.

There is no timer: a single call runs at once. Under load, batches grow while the model is busy,
and callers share them fairly. One thread runs the model, so the model needs no lock.
"""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sightline.storage.errors import ModelOverloadedError, ModelUnavailableError
from sightline.storage.interfaces import EncoderIdentity, Vectors
from sightline.storage.isolation.caller import current_caller
from sightline.storage.isolation.caller_cache import CallerCache

#: Takes n items of one kind (images, texts) and returns n float32 rows in the same order.
Forward = Callable[[Sequence[Any]], Vectors]
#: Called after every forward pass with kind, number of items and seconds.
BatchObserver = Callable[[str, int, float], None]

#: Items that may wait for the model. Further ones are rejected.
MAX_QUEUE_ITEMS = 1024
#: Run time of one batch after which the model counts as stuck.
STUCK_SECONDS = 300.0


@dataclass(slots=True, eq=False)
class _Call:
    """One call. Its items may be spread over several batches."""

    items: Sequence[Any]
    caller: str | None
    result: Future[Vectors] = field(default_factory=Future)
    rows: list[Vectors] = field(default_factory=list)
    scheduled: int = 0

    @property
    def waiting(self) -> int:
        return len(self.items) - self.scheduled

    def add_rows(self, rows: Vectors, *, is_last: bool) -> None:
        self.rows.append(rows)
        if is_last and self.result.set_running_or_notify_cancel():
            self.result.set_result(np.concatenate(self.rows))

    def fail(self, error: BaseException) -> None:
        if not self.result.done() and self.result.set_running_or_notify_cancel():
            self.result.set_exception(error)


@dataclass(slots=True)
class _Slice:
    """The part of a call that goes into one batch."""

    call: _Call
    start: int
    stop: int

    @property
    def items(self) -> Sequence[Any]:
        return self.call.items[self.start : self.stop]


class _FairQueue:
    """Waiting calls of one kind.

    Callers take turns; the calls of one caller keep their order.
    """

    def __init__(self) -> None:
        self._calls: OrderedDict[str | None, deque[_Call]] = OrderedDict()

    def __iter__(self) -> Iterator[_Call]:
        return (call for calls in self._calls.values() for call in calls)

    def append(self, call: _Call) -> None:
        self._calls.setdefault(call.caller, deque()).append(call)

    def fill_batch(self, max_items: int) -> list[_Slice]:
        """Schedule up to ``max_items`` items, in equal parts while several callers wait."""
        slices: list[_Slice] = []
        free = max_items
        while self._calls and free:
            part = math.ceil(free / len(self._calls))
            caller, calls = self._calls.popitem(last=False)
            while calls and part:
                call = calls[0]
                if not call.result.done():  # else cancelled, or failed in an earlier batch
                    stop = min(len(call.items), call.scheduled + part)
                    slices.append(_Slice(call, call.scheduled, stop))
                    part -= stop - call.scheduled
                    free -= stop - call.scheduled
                    call.scheduled = stop
                    if call.waiting:
                        continue
                calls.popleft()
            if calls:
                self._calls[caller] = calls
        return slices


class Batcher:
    """Runs ``forwards`` (one function per kind of input) on its own thread.

    Results keep the order of a call's items. Kinds take turns, so a query waits for at most one
    batch of an ingest. A call that is cancelled while it waits uses no model time. If a batch
    fails, its calls run again one by one, so that only the calls that cause the error get it.
    """

    def __init__(
        self,
        forwards: Mapping[str, Forward],
        *,
        max_batch_items: int,
        name: str,
        max_queue_items: int = MAX_QUEUE_ITEMS,
        stuck_seconds: float = STUCK_SECONDS,
        observer: BatchObserver | None = None,
    ) -> None:
        self._forwards = dict(forwards)
        self._max_batch_items = max_batch_items
        self._max_queue_items = max_queue_items
        self._name = name
        self._stuck_seconds = stuck_seconds
        self._batch_started_at: float | None = None
        self._observer = observer
        self._queues = {kind: _FairQueue() for kind in forwards}
        self._kinds = deque(forwards)
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"batcher {name}", daemon=True)
        self._thread.start()

    @property
    def queued_items(self) -> int:
        """Return how many items wait and are in no batch yet."""
        with self._changed:
            return sum(self._waiting_items().values())

    async def submit(self, kind: str, items: Sequence[Any]) -> Vectors:
        """Return one row per item, in order. ``items`` must not be empty.

        Raises ModelOverloadedError if the queue is full and the caller has used its share of it. A
        call that is larger still runs when nothing else of its caller waits. Raises
        ModelUnavailableError if one batch has run for more than ``stuck_seconds``: a hanging model
        cannot be stopped, but its callers can.
        """
        self._check_not_stuck()
        call = _Call(items, current_caller())
        with self._changed:
            if self._closed:
                raise ModelUnavailableError(f"{self._name} is shutting down")
            queued = self._waiting_items()
            own = queued.get(call.caller, 0)
            is_full = sum(queued.values()) + len(items) > self._max_queue_items
            if own and is_full and own + len(items) > self._max_queue_items // len(queued):
                raise ModelOverloadedError(
                    f"{self._name} is busy: {own} of your items already wait for it. Try again in "
                    "a moment."
                )
            self._queues[kind].append(call)
            self._changed.notify()
        result = asyncio.wrap_future(call.result)
        try:
            while not result.done():
                await asyncio.wait({result}, timeout=self._stuck_seconds)
                if not result.done():
                    self._check_not_stuck()
        finally:
            result.cancel()
        return result.result()

    def close(self) -> None:
        """Reject waiting and new calls. Wait for the running batch."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _waiting_items(self) -> dict[str | None, int]:
        """Return the number of items that wait, by caller."""
        waiting: dict[str | None, int] = {}
        for queue in self._queues.values():
            for call in queue:
                waiting[call.caller] = waiting.get(call.caller, 0) + call.waiting
        return waiting

    def _check_not_stuck(self) -> None:
        started_at = self._batch_started_at
        seconds = 0.0 if started_at is None else time.monotonic() - started_at
        if seconds > self._stuck_seconds:
            raise ModelUnavailableError(
                f"{self._name} has been stuck in one batch for {seconds:.0f} s. Restart the server."
            )

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._run_batch(*batch)
            del batch  # images are large: do not keep them while waiting
        for queue in self._queues.values():
            for call in queue:
                call.fail(ModelUnavailableError(f"{self._name} is shutting down"))

    def _next_batch(self) -> tuple[str, list[_Slice]] | None:
        """Block until a batch is available. Return ``None`` after `close`."""
        with self._changed:
            while not self._closed:
                for _ in range(len(self._kinds)):
                    kind = self._kinds[0]
                    self._kinds.rotate(-1)
                    slices = self._queues[kind].fill_batch(self._max_batch_items)
                    if slices:
                        return kind, slices
                self._changed.wait()
            return None

    def _run_batch(self, kind: str, slices: list[_Slice]) -> None:
        try:
            rows = self._forward(kind, [item for each in slices for item in each.items])
        except Exception as error:  # noqa: BLE001 - the caller gets whatever the model raises
            if len(slices) == 1:
                slices[0].call.fail(error)
                return
            for each in slices:
                if not each.call.result.done():
                    self._run_batch(kind, [each])
            return
        start = 0
        for each in slices:
            stop = start + each.stop - each.start
            each.call.add_rows(rows[start:stop], is_last=each.stop == len(each.call.items))
            start = stop

    def _forward(self, kind: str, items: list[Any]) -> Vectors:
        started_at = self._batch_started_at = time.monotonic()
        try:
            rows = self._forwards[kind](items)
        finally:
            self._batch_started_at = None
        if len(rows) != len(items):
            msg = f"{self._name} returned {len(rows)} vectors for {len(items)} items"
            raise RuntimeError(msg)
        if self._observer is not None:
            self._observer(kind, len(items), time.monotonic() - started_at)
        return rows


class BatchedModel:
    """Base of models that own a batcher. Call `close` at the end."""

    _batcher: Batcher

    def close(self) -> None:
        """Stop after the running batch; waiting calls fail with ModelUnavailableError."""
        self._batcher.close()


class CachedTextEncoder(BatchedModel):
    """A `TextEncoder` on a batcher that caches ``max_entries`` vectors of each caller."""

    def __init__(
        self, batcher: Batcher, kind: str, identity: EncoderIdentity, max_entries: int
    ) -> None:
        self.identity = identity
        self._batcher = batcher
        self._kind = kind
        self._rows: CallerCache[str, Vectors] = CallerCache(max_entries)

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return a new float32 array of shape (n, dimension).

        Equal texts of a call are encoded once. Raises ModelOverloadedError if the queue is full.
        """
        if not texts:
            return np.empty((0, self.identity.dimension), np.float32)
        rows = {text: row for text in texts if (row := self._rows.get(text)) is not None}
        missing = [text for text in dict.fromkeys(texts) if text not in rows]
        if missing:
            encoded = await self._batcher.submit(self._kind, missing)
            for text, row in zip(missing, encoded, strict=True):
                rows[text] = row
                self._rows.set(text, row.copy())  # a view would keep the whole batch alive
        return np.stack([rows[text] for text in texts])
