"""Read the files of an archive in a worker process and pass them on."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker_pool import Job, WorkBudget, WorkerPool
from sightline.storage.ingest.discover.sidecars import WarningSink
from sightline.storage.ingest.discover.walk import MAX_BATCH_BYTES, MAX_BATCH_FILES
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import DiscoveredFile

# A worker unpacks 50 MB or more per second.
_BYTES_PER_SECOND = 1 << 20


@dataclass(slots=True)
class ArchiveReader:
    """Sends the files of archives to ``emit`` in batches, in the order of their names.

    An archive that is broken, takes too long or crashes its worker fails alone; the files before
    that place are kept.
    """

    pool: WorkerPool
    options: IngestOptions
    emit: Callable[[list[DiscoveredFile]], Awaitable[None]]
    warn: WarningSink
    _batch: list[DiscoveredFile] = field(default_factory=list)
    _batch_bytes: int = 0

    async def read(self, archive: DiscoveredFile) -> None:
        """Read one archive. Its files wait in ``emit``, which holds back the worker."""
        path = str(archive.path)

        async def on_failed(error: MediaError) -> None:
            await self._flush()
            await self.emit([DiscoveredFile(archive.name, place=path, failure=error)])

        step = self.options.file_timeout_seconds
        seconds = step + _size_of(path) / _BYTES_PER_SECOND
        request = messages.ArchiveRequest(archive.name, path)
        budget = WorkBudget(seconds, step)
        max_bytes = self.options.max_file_bytes + messages.MAX_FRAME_BYTES  # with its sidecars
        await self.pool.run_job(
            Job(request, self._on_part, self._flush, on_failed, budget, max_bytes)
        )

    async def _on_part(self, part: messages.JobPart) -> None:
        match part:
            case messages.ArchiveFile():
                failure = MediaError(part.code[:40], part.reason[:500]) if part.code else None
                if failure is None and part.data is None:
                    raise messages.ProtocolError("a file of an archive without its bytes")
                self._batch.append(
                    DiscoveredFile(
                        part.name,
                        place=part.place,
                        data=None if failure else part.data,
                        sidecar=part.sidecar,
                        failure=failure,
                    )
                )
                self._batch_bytes += len(part.data or b"")
            case messages.PartWarning():
                self.warn(part.code[:40], part.name, part.reason[:500])
            case _:
                raise messages.ProtocolError(f"a {type(part).__name__} for an archive")
        if len(self._batch) >= MAX_BATCH_FILES or self._batch_bytes >= MAX_BATCH_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            await self.emit(batch)


def _size_of(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0  # the worker reports why it cannot be opened
