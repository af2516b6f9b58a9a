"""Queue the jobs of one ingest, bounded in number and in bytes."""

from __future__ import annotations

import asyncio
from collections import deque

from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.open_file import FileStamp
from sightline.storage.ingest.decode.worker_pool import Job, single_result_job
from sightline.storage.ingest.formats import is_stepwise

_MAX_DECODE_JOBS = 4
_MAX_HASH_JOBS = 8
_MAX_JOB_BYTES = 16 << 20


class AmountSemaphore:
    """Limits bytes or characters in memory; a larger amount is admitted alone."""

    def __init__(self, maximum: int) -> None:
        self._maximum = self._available = maximum
        self._changed = asyncio.Condition()

    async def acquire(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._available >= min(count, self._maximum))
            self._available -= count

    async def release(self, count: int) -> None:
        async with self._changed:
            self._available += count
            self._changed.notify_all()


class DecodeQueue:
    """Bounded in decode jobs, which holds back the stages before it.

    Decode jobs come first: while there are any, hashing is far enough ahead.
    """

    def __init__(self, max_decode_jobs: int) -> None:
        self._max_decode_jobs = max_decode_jobs
        self._decode_jobs: deque[Job] = deque()
        self._hash_jobs: deque[Job] = deque()
        self._changed = asyncio.Condition()
        self._closed = False

    async def put_decode(self, job: Job) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._decode_jobs) < self._max_decode_jobs)
            self._decode_jobs.append(job)
            self._changed.notify_all()

    async def requeue(self, job: Job) -> None:
        """Add a decode job at the front, without waiting for room.

        The caller is itself a consumer of the queue, so waiting would be a deadlock.
        """
        async with self._changed:
            self._decode_jobs.appendleft(job)
            self._changed.notify_all()

    async def hash_file(self, path: str) -> tuple[bytes, FileStamp]:
        """Return the SHA-256 and the stamp of a file. Raises MediaError."""
        job, result = single_result_job(messages.HashRequest(path), _parse_hash)
        async with self._changed:
            self._hash_jobs.append(job)
            self._changed.notify_all()
        return await result

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self) -> list[Job]:
        """Return a few jobs of one kind, so that a worker need not wait between them.

        Returns none at the end.
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._decode_jobs or self._hash_jobs or self._closed
            )
            jobs: list[Job] = []
            size = 0
            while self._decode_jobs and len(jobs) < _MAX_DECODE_JOBS and size < _MAX_JOB_BYTES:
                request = self._decode_jobs[0].request
                is_long = False
                if isinstance(request, messages.DecodeRequest):
                    # Alone in its turn: others would wait for it to end.
                    is_long = is_stepwise(request.name)
                    size += len(request.data or b"")
                if is_long and jobs:
                    break
                jobs.append(self._decode_jobs.popleft())
                if is_long:
                    break
            if not jobs:
                count = min(_MAX_HASH_JOBS, len(self._hash_jobs))
                jobs = [self._hash_jobs.popleft() for _ in range(count)]
            self._changed.notify_all()
            return jobs


def _parse_hash(part: messages.JobPart) -> tuple[bytes, FileStamp]:
    if not isinstance(part, messages.FileHash):
        raise messages.ProtocolError(f"a {type(part).__name__} for a hash")
    try:
        return bytes.fromhex(part.sha256), part.stamp
    except ValueError as error:
        raise messages.ProtocolError(f"an invalid hash: {error}") from error
