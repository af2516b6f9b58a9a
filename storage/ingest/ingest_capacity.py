"""Limit what all ingests of a process use together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.ingest.decode.worker_slots import WorkerSlots
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.machine import memory_bytes

if TYPE_CHECKING:
    from sightline.storage.ingest.progress import IngestSummary
    from sightline.storage.ingest.stage_types import DiscoveredFile

MAX_INGESTS_PER_PRINCIPAL = 2
MAX_OPEN_ARCHIVES = 4
MAX_OPEN_FOLDERS = 16
_MAX_INGESTS = 64
_MAX_HELD_BYTES = 1 << 30
_MAX_WAITING_INGESTS = 64

Threads = list[Future[Any]]
"""Work of an ingest in threads, which nobody can cancel."""


class IngestCapacity:
    """Worker processes, archive readers and running ingests.

    Principals take turns. There are at most ``options.worker_slots`` decoder processes,
    `MAX_OPEN_ARCHIVES` processes that read archives, one per principal, and
    `MAX_OPEN_FOLDERS` processes that walk folders, one per ingest. Close it at the end.
    """

    def __init__(
        self,
        options: IngestOptions,
        *,
        observer: Callable[[IngestSummary], None] = lambda _: None,
    ) -> None:
        """``observer`` is called with the summary of each ingest that came to an end."""
        self._observer = observer
        self.workers = WorkerSlots(options.worker_slots)
        self.archives = WorkerSlots(MAX_OPEN_ARCHIVES, max_per_principal=1)
        self.folders = WorkerSlots(MAX_OPEN_FOLDERS, max_per_principal=MAX_INGESTS_PER_PRINCIPAL)
        self._ingests = FairSemaphore(
            _MAX_INGESTS,
            max_waiting=_MAX_WAITING_INGESTS,
            what="an ingest to end",
            max_per_caller=MAX_INGESTS_PER_PRINCIPAL,
        )
        #: Bytes of files in memory: members of archives, uploads and downloads.
        self.file_bytes = FairSemaphore(
            min(_MAX_HELD_BYTES, memory_bytes() // 8),
            max_waiting=_MAX_INGESTS,
            what="memory for files",
        )
        self._releases: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def admit(
        self, principal: str | None, on_wait: Callable[[], None] = lambda: None
    ) -> AsyncIterator[Threads]:
        """Wait until the principal may run another ingest.

        ``on_wait`` is called if it must wait. The ingest adds its work in threads to the list, and
        counts as running until that ends. Raises ModelOverloadedError if too many ingests of the
        principal wait.
        """
        holding = self._ingests.hold(principal)
        waiting = asyncio.get_running_loop().call_soon(on_wait)
        try:
            await holding.__aenter__()
        finally:
            waiting.cancel()
        threads: Threads = []
        try:
            yield threads
        finally:
            release = asyncio.create_task(_release(holding, threads))
            self._releases.add(release)
            release.add_done_callback(self._releases.discard)

    def finished(self, summary: IngestSummary) -> IngestSummary:
        """Report the summary of an ingest to the observer; return it."""
        self._observer(summary)
        return summary

    async def close(self) -> None:
        """End the worker processes."""
        await self.workers.close()
        await self.archives.close()
        await self.folders.close()


class FileMemory:
    """The bytes of files that one ingest keeps in memory, out of those of all.

    A batch of files is admitted as a whole and released when its last file is: otherwise two
    batches could wait for each other.
    """

    def __init__(self, file_bytes: FairSemaphore, principal: str | None) -> None:
        self._file_bytes, self._principal = file_bytes, principal
        self._batches: dict[int, _HeldBatch] = {}

    async def acquire(self, files: Sequence[DiscoveredFile]) -> None:
        """Wait until the files may be kept."""
        kept = [file for file in files if file.data is not None]
        if not kept:
            return
        size = sum(len(file.data or b"") for file in kept)
        holding = self._file_bytes.hold(self._principal, size)
        await holding.__aenter__()
        batch = _HeldBatch(holding, kept)
        self._batches |= {id(file): batch for file in kept}

    async def release(self, file: DiscoveredFile) -> None:
        """Note that a file is written, or not needed."""
        batch = self._batches.pop(id(file), None)
        if batch is not None:
            batch.files = [each for each in batch.files if each is not file]
            if not batch.files:
                await batch.holding.__aexit__(None, None, None)

    async def close(self) -> None:
        """Release all files, of an ingest that failed or was cancelled."""
        for batch in tuple(self._batches.values()):
            for file in batch.files:
                await self.release(file)


@dataclass(slots=True)
class _HeldBatch:
    holding: AbstractAsyncContextManager[None]
    files: list[DiscoveredFile]


async def _release(holding: AbstractAsyncContextManager[None], threads: Threads) -> None:
    if threads:
        await asyncio.wait([asyncio.wrap_future(thread) for thread in threads])
    await holding.__aexit__(None, None, None)
