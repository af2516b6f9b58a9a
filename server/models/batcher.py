"""Concurrent calls share forward passes: whenever the model is free, take all that waits.

There is no timer: a lone call runs at once, and under load the batches grow by themselves while
the model is busy. One thread runs the model, so it needs no lock of its own.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sightline.storage.errors import ModelOverloadedError, ModelUnavailableError
from sightline.storage.interfaces import Vectors

#: Items of one kind (pictures, texts) to one row of float32 each, in order.
Forward = Callable[[Sequence[Any]], Vectors]
#: Told of every forward pass: kind, items, seconds.
BatchObserver = Callable[[str, int, float], None]


@dataclass(slots=True, eq=False)
class _Job:
    """One call; its items may be spread over several batches."""

    items: Sequence[Any]
    result: Future[Vectors] = field(default_factory=Future)
    rows: list[Vectors] = field(default_factory=list)
    taken: int = 0

    @property
    def waiting(self) -> int:
        return len(self.items) - self.taken


@dataclass(slots=True)
class _Share:
    """The part of a job that goes into one batch."""

    job: _Job
    start: int
    stop: int

    @property
    def items(self) -> Sequence[Any]:
        return self.job.items[self.start : self.stop]


class Batcher:
    """Runs ``forwards`` (one function a kind of input) on one thread of its own.

    Results keep the order of a call's items. Kinds take turns, so that a question waits for one
    batch of an ingest at most. A call that is cancelled while it waits costs no model time. When a
    batch fails, its calls run again one by one: the error reaches only those that cause it.
    """

    def __init__(
        self,
        forwards: Mapping[str, Forward],
        *,
        batch_items: int,
        queue_items: int,
        name: str,
        stuck_seconds: float = 300.0,
        observer: BatchObserver | None = None,
    ) -> None:
        self._forwards = dict(forwards)
        self._batch_items = batch_items
        self._queue_items = queue_items
        self._name = name
        self._stuck_seconds = stuck_seconds
        #: When the batch in progress began.
        self._began: float | None = None
        self._observer = observer
        self._queues: dict[str, deque[_Job]] = {kind: deque() for kind in forwards}
        self._turn = deque(forwards)
        self._changed = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=f"batcher {name}", daemon=True)
        self._thread.start()

    @property
    def queued_items(self) -> int:
        """Items that wait and are in no batch yet."""
        with self._changed:
            return self._queued()

    async def submit(self, kind: str, items: Sequence[Any]) -> Vectors:
        """One row for each item, in order; ``items`` must not be empty.

        Raises ModelOverloadedError when the queue has no room, unless nothing waits: a call that
        is larger than the whole queue still runs when it is alone. Raises ModelUnavailableError
        while one batch has been running for longer than ``stuck_seconds``: a model that hangs
        cannot be stopped, and its callers need not hang with it.
        """
        self._require_alive()
        job = _Job(items)
        with self._changed:
            if self._closed:
                raise ModelUnavailableError(f"{self._name} is shutting down")
            queued = self._queued()
            if queued and queued + len(items) > self._queue_items:
                msg = (
                    f"{self._name} is busy: {queued} items wait and its queue takes "
                    f"{self._queue_items}; try again in a moment"
                )
                raise ModelOverloadedError(msg)
            self._queues[kind].append(job)
            self._changed.notify()
        result = asyncio.wrap_future(job.result)
        try:
            while not result.done():
                await asyncio.wait({result}, timeout=self._stuck_seconds)
                if not result.done():
                    self._require_alive()
        finally:
            result.cancel()
        return result.result()

    def _require_alive(self) -> None:
        began = self._began
        if began is not None and (spent := time.monotonic() - began) > self._stuck_seconds:
            raise ModelUnavailableError(
                f"{self._name} has been stuck in one batch for {spent:.0f} s; restart the server"
            )

    def close(self, *, wait: bool = True) -> None:
        """Refuse what waits and what comes; return when the batch in progress has ended.

        Without ``wait`` it returns at once and the thread ends after that batch.
        """
        with self._changed:
            self._closed = True
            self._changed.notify()
        if wait:
            self._thread.join()

    def _queued(self) -> int:
        return sum(job.waiting for queue in self._queues.values() for job in queue)

    def _run(self) -> None:
        while (batch := self._next_batch()) is not None:
            self._process(*batch)
            del batch  # pictures are large; hold none while waiting
        for queue in self._queues.values():
            for job in queue:
                _fail(job, ModelUnavailableError(f"{self._name} is shutting down"))
            queue.clear()

    def _next_batch(self) -> tuple[str, list[_Share]] | None:
        """Block until something waits; ``None`` when closed."""
        with self._changed:
            while not self._closed:
                for _ in range(len(self._turn)):
                    kind = self._turn[0]
                    self._turn.rotate(-1)
                    shares = self._take(self._queues[kind])
                    if shares:
                        return kind, shares
                self._changed.wait()
            return None

    def _take(self, queue: deque[_Job]) -> list[_Share]:
        shares: list[_Share] = []
        room = self._batch_items
        while queue and room:
            job = queue[0]
            if job.result.done():  # cancelled by its caller, or failed in an earlier batch
                queue.popleft()
                continue
            stop = min(len(job.items), job.taken + room)
            shares.append(_Share(job, job.taken, stop))
            room -= stop - job.taken
            job.taken = stop
            if not job.waiting:
                queue.popleft()
        return shares

    def _process(self, kind: str, shares: list[_Share]) -> None:
        try:
            rows = self._forward(kind, [item for share in shares for item in share.items])
        except Exception as error:  # noqa: BLE001 - whatever a model raises is its callers' to see
            if len(shares) == 1:
                _fail(shares[0].job, error)
                return
            for share in shares:
                if not share.job.result.done():
                    self._process(kind, [share])
            return
        start = 0
        for share in shares:
            count = share.stop - share.start
            _deliver(share, rows[start : start + count])
            start += count

    def _forward(self, kind: str, items: list[Any]) -> Vectors:
        began = time.perf_counter()
        self._began = time.monotonic()
        try:
            rows = self._forwards[kind](items)
        finally:
            self._began = None
        if len(rows) != len(items):
            msg = f"{self._name} returned {len(rows)} vectors for {len(items)} items"
            raise RuntimeError(msg)
        if self._observer is not None:
            self._observer(kind, len(items), time.perf_counter() - began)
        return rows


def _deliver(share: _Share, rows: Vectors) -> None:
    job = share.job
    job.rows.append(rows)
    if share.stop == len(job.items) and job.result.set_running_or_notify_cancel():
        job.result.set_result(np.concatenate(job.rows))


def _fail(job: _Job, error: BaseException) -> None:
    if not job.result.done() and job.result.set_running_or_notify_cancel():
        job.result.set_exception(error)
