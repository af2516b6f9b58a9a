"""Queue of jobs for the workers, and limits on what may wait in memory."""

from __future__ import annotations

import asyncio
from collections import deque

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.open_file import FileStamp
from sightline.storage.ingest.decode.worker.worker_protocol import (
    DecodeRequest,
    FileHash,
    HashRequest,
    JobPart,
    ProtocolError,
)
from sightline.storage.ingest.decode.worker_pool import Job

_MAX_DECODE_JOBS = 4
_MAX_HASH_JOBS = 8
_MAX_JOB_BYTES = 16 << 20


class ByteSemaphore:
    """Limits the bytes of files in memory; a single larger file is admitted alone."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._available = max_bytes
        self._changed = asyncio.Condition()

    async def acquire(self, count: int) -> None:
        """Wait until ``count`` bytes are available."""
        if count == 0:
            return
        async with self._changed:
            await self._changed.wait_for(lambda: self._available >= min(count, self._max_bytes))
            self._available -= count

    async def release(self, count: int) -> None:
        """Return ``count`` bytes."""
        if count == 0:
            return
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
        """Wait for room, then add a decode job."""
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
        result: asyncio.Future[tuple[bytes, FileStamp]] = asyncio.get_running_loop().create_future()
        hashes: list[tuple[bytes, FileStamp]] = []

        async def on_part(part: JobPart) -> None:
            if not isinstance(part, FileHash):
                raise ProtocolError(f"a {type(part).__name__} for a hash")
            try:
                hashes.append((bytes.fromhex(part.sha256), part.stamp))
            except ValueError as error:
                raise ProtocolError(f"an invalid hash: {error}") from error

        async def on_done() -> None:
            if len(hashes) != 1:
                raise ProtocolError(f"{len(hashes)} hashes of one file")
            if not result.done():
                result.set_result(hashes[0])

        async def on_failed(error: MediaError) -> None:
            if not result.done():
                result.set_exception(error)

        async with self._changed:
            self._hash_jobs.append(Job(HashRequest(path), on_part, on_done, on_failed))
            self._changed.notify_all()
        return await result

    async def close(self) -> None:
        """End the queue: no more jobs will be added."""
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
                job = self._decode_jobs.popleft()
                if isinstance(job.request, DecodeRequest):
                    size += len(job.request.data or b"")
                jobs.append(job)
            if not jobs:
                count = min(_MAX_HASH_JOBS, len(self._hash_jobs))
                jobs = [self._hash_jobs.popleft() for _ in range(count)]
            self._changed.notify_all()
            return jobs
