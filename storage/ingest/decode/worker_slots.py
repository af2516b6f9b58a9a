"""Bound the worker processes of a server, and give principals fair turns.

A turn is a few jobs. Memory is bounded too: by the number of slots times the memory of a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.ingest.decode.worker_process import WorkerProcess

_IDLE_SECONDS = 60.0
_UNLIMITED = 1 << 30  # each ingest waits with a few requests only


@dataclass(slots=True)
class WorkerLease:
    """A worker process for one turn. It ends if it ``is_lost`` in a job."""

    process: WorkerProcess
    is_lost: bool = True


@dataclass(eq=False, slots=True)
class _IdleWorker:
    process: WorkerProcess
    key: tuple[str | None, bytes]
    timer: asyncio.TimerHandle | None = None


class WorkerSlots:
    """At most ``count`` worker processes, busy and idle ones together.

    A principal holds at most ``max_per_principal`` slots, by default all but one, so that long
    files of one do not stop the files of another. A process is used again by the same principal
    with the same configuration only, and ends after ``idle_seconds`` without a job. ``max_waiting``
    limits the turns for which a principal may wait.
    """

    def __init__(
        self,
        count: int = _UNLIMITED,
        *,
        max_per_principal: int | None = None,
        max_waiting: int = _UNLIMITED,
        idle_seconds: float | None = _IDLE_SECONDS,
    ) -> None:
        self._count, self._busy = count, 0
        self._slots = FairSemaphore(
            count,
            max_waiting=max_waiting,
            what="worker processes",
            max_per_caller=count - 1 if max_per_principal is None else max_per_principal,
        )
        self._idle_seconds = idle_seconds
        self._idle: list[_IdleWorker] = []
        self._ending: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def lease(
        self, principal: str | None, configuration: bytes
    ) -> AsyncIterator[WorkerLease]:
        """Wait for a slot and yield its worker process.

        Raises ConfigurationError if the process does not start, ModelOverloadedError if too many
        turns of the principal wait.
        """
        key = (principal, configuration)
        async with self._slots.hold(principal):
            self._busy += 1
            lease: WorkerLease | None = None
            try:
                lease = WorkerLease(self._take_idle(key) or await self._start(configuration))
                yield lease
            finally:
                self._busy -= 1
                if lease is not None:
                    self._put_back(_IdleWorker(lease.process, key), is_lost=lease.is_lost)

    async def close(self) -> None:
        """End the idle processes."""
        for worker in tuple(self._idle):
            self._end(worker)
        if self._ending:
            await asyncio.wait(self._ending)

    async def _start(self, configuration: bytes) -> WorkerProcess:
        if self._busy + len(self._idle) > self._count:
            self._end(self._idle[0])
        return await WorkerProcess.start(configuration)

    def _take_idle(self, key: tuple[str | None, bytes]) -> WorkerProcess | None:
        for worker in reversed(self._idle):
            if worker.key == key and worker.process.is_alive:
                self._remove_idle(worker)
                return worker.process
        return None

    def _put_back(self, worker: _IdleWorker, *, is_lost: bool) -> None:
        self._idle.append(worker)
        if is_lost:
            self._end(worker)
        elif self._idle_seconds is not None:
            loop = asyncio.get_running_loop()
            worker.timer = loop.call_later(self._idle_seconds, self._end, worker)

    def _remove_idle(self, worker: _IdleWorker) -> None:
        self._idle.remove(worker)
        if worker.timer is not None:
            worker.timer.cancel()

    def _end(self, worker: _IdleWorker) -> None:
        """Kill a process now; wait for its end in a task that no caller cancels."""
        self._remove_idle(worker)
        worker.process.stop()
        task = asyncio.get_running_loop().create_task(worker.process.kill())
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)
