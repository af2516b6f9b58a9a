"""Jobs for the worker processes: whole files before hashes, a handful at a time."""

from __future__ import annotations

import asyncio
from collections import deque

from sightline.storage.ingest.decode.worker_pool import Job

_READS_AT_ONCE = 4
_HASHES_AT_ONCE = 8
_BYTES_AT_ONCE = 16 << 20


class JobQueue:
    """Bounded in reads, which is what holds back the stages before it.

    Reads come first: as long as there are any, what is hashed is far enough ahead.
    """

    def __init__(self, max_reads: int) -> None:
        self._max_reads = max_reads
        self._reads: deque[Job] = deque()
        self._hashes: deque[Job] = deque()
        self._changed = asyncio.Condition()
        self._closed = False

    async def put_read(self, job: Job) -> None:
        """Wait for room, then add a file to read."""
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._reads) < self._max_reads)
            self._reads.append(job)
            self._changed.notify_all()

    async def put_back(self, job: Job) -> None:
        """Add a file that was taken and is to be read once more: at once, for who puts it back is
        one of those who take.
        """
        async with self._changed:
            self._reads.appendleft(job)
            self._changed.notify_all()

    async def put_hash(self, job: Job) -> None:
        """Add a file to hash."""
        async with self._changed:
            self._hashes.append(job)
            self._changed.notify_all()

    async def close(self) -> None:
        """No more will come."""
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self) -> list[Job]:
        """A few jobs of one sort, so that a worker need not wait for us between them; none at the
        end.
        """
        async with self._changed:
            await self._changed.wait_for(lambda: self._reads or self._hashes or self._closed)
            taken: list[Job] = []
            size = 0
            while self._reads and len(taken) < _READS_AT_ONCE and size < _BYTES_AT_ONCE:
                job = self._reads.popleft()
                size += sum(map(len, job.blobs))
                taken.append(job)
            while self._hashes and not taken:
                count = min(_HASHES_AT_ONCE, len(self._hashes))
                taken = [self._hashes.popleft() for _ in range(count)]
            self._changed.notify_all()
            return taken
