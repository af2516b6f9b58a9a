"""Have workers walk folders and read archives, and pass their files on."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import frames
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker_pool import Job, WorkBudget, WorkerPool
from sightline.storage.ingest.discover.input_paths import RemoteFile, Upload
from sightline.storage.ingest.discover.sidecars import WarningSink, clean_json
from sightline.storage.ingest.formats import file_type_of
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import DiscoveredFile

_BATCH_FILES = 64
_BATCH_BYTES = 16 << 20
# A worker unpacks 50 MB or more per second.
_BYTES_PER_SECOND = 1 << 20

Emit = Callable[[list[DiscoveredFile]], Awaitable[None]]


@dataclass(slots=True)
class TreeReader:
    """Sends the files of all inputs to ``emit`` in batches, in order.

    A folder or archive that is broken, takes too long or crashes its worker fails alone; the files
    before that place are kept. Files wait in ``emit``, which holds back the workers. Folders and
    archives have workers of their own, because a folder waits for the archives in it.
    """

    folders: WorkerPool
    archives: WorkerPool
    options: IngestOptions
    emit: Emit
    warn: WarningSink
    run_in_thread: Callable[
        [Callable[[RemoteFile], DiscoveredFile], RemoteFile], Awaitable[DiscoveredFile]
    ]
    download_seconds: float = 0.0
    _batch: list[DiscoveredFile] = field(default_factory=list)
    _batch_bytes: int = 0
    _is_wanted: Callable[[str], bool] | None = None

    async def read(
        self,
        inputs: Sequence[messages.TreeRequest | Upload | RemoteFile],
        is_wanted: Callable[[str], bool] | None = None,
    ) -> None:
        """Read all inputs; ``is_wanted`` chooses archives by failure location and ``//``."""
        self._is_wanted = is_wanted
        for each in inputs:
            if isinstance(each, Upload):
                name = clean_json(each.name)
                place = f"upload:{name}"
                file = DiscoveredFile(name, place, data=each.data, sidecar=each.sidecar)
                await self._add(file)
            elif isinstance(each, RemoteFile):
                await self._add(await self._fetched(each))
            else:
                await self._read_folder(each)
        await self._flush()

    async def _fetched(self, remote: RemoteFile) -> DiscoveredFile:
        started = time.perf_counter()
        file = await self.run_in_thread(_fetch, remote)
        self.download_seconds += time.perf_counter() - started
        return file

    async def _read_folder(self, request: messages.TreeRequest) -> None:
        async def on_part(part: messages.JobPart) -> None:
            await self._on_part(part, request.real)

        # The time for a whole folder depends on its files: only the caller's time limits it.
        budget = WorkBudget(math.inf, self.options.file_timeout_seconds)
        place = request.real
        on_failed = self._failing(DiscoveredFile(request.given or place, place))
        await self.folders.run_job(Job(request, on_part, _nothing, on_failed, budget))

    async def _read_archive(self, archive: DiscoveredFile) -> None:
        await self._flush()
        path = str(archive.path)

        async def on_part(part: messages.JobPart) -> None:
            await self._on_part(part, None)

        step = self.options.file_timeout_seconds
        seconds = step + await asyncio.to_thread(_size_of, path) / _BYTES_PER_SECOND
        request = messages.ArchiveRequest(archive.name, path)
        on_failed = self._failing(DiscoveredFile(archive.name, path))
        budget = WorkBudget(seconds, step)
        max_bytes = self.options.max_file_bytes + frames.MAX_FRAME_BYTES  # with its sidecars
        await self.archives.run_job(
            Job(request, on_part, self._flush, on_failed, budget, max_bytes)
        )

    def _failing(self, file: DiscoveredFile) -> Callable[[MediaError], Awaitable[None]]:
        async def on_failed(error: MediaError) -> None:
            await self._flush()
            await self.emit([replace(file, failure=error)])

        return on_failed

    async def _on_part(self, part: messages.JobPart, root: str | None) -> None:
        match part:
            case messages.FoundFile():
                file = discovered_file(part, root)
                if file.path is not None and file_type_of(file.path) == "archive":
                    wanted = self._is_wanted
                    if wanted is None or wanted(f"{file.failure_location}//"):
                        await self._read_archive(file)
                else:
                    await self._add(file)
            case messages.PartWarning():
                self.warn(part.code[:40], part.name, part.reason[:500])
            case _:
                raise messages.ProtocolError(f"a {type(part).__name__} for a folder or archive")

    async def _add(self, file: DiscoveredFile) -> None:
        self._batch.append(file)
        self._batch_bytes += len(file.data or b"")
        if len(self._batch) >= _BATCH_FILES or self._batch_bytes >= _BATCH_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        batch, self._batch, self._batch_bytes = self._batch, [], 0
        if batch:
            await self.emit(batch)


def discovered_file(part: messages.FoundFile, root: str | None) -> DiscoveredFile:
    """Return a file of the folder ``root``, or of an archive if that is None.

    Raises ProtocolError for one that cannot be in it.
    """
    if part.code is not None:
        failure = MediaError(part.code[:40], part.reason[:500])
        return DiscoveredFile(part.name, part.place, failure=failure)
    if root is None:
        if part.data is None or part.path is not None:
            raise messages.ProtocolError("a file of an archive without its bytes")
    elif part.data is not None or part.path is None or not _is_below(part.path, root):
        raise messages.ProtocolError("a file that is not in its folder")
    return DiscoveredFile(
        part.name, part.place, path=part.path, data=part.data, sidecar=part.sidecar
    )


def _fetch(remote: RemoteFile) -> DiscoveredFile:
    try:
        return DiscoveredFile(remote.name, remote.name, data=remote.load())
    except MediaError as error:
        return DiscoveredFile(remote.name, remote.name, failure=error)


def _is_below(path: str, root: str) -> bool:
    return os.path.normpath(path) == path and path.startswith(root.rstrip("/") + "/")


async def _nothing() -> None:
    pass


def _size_of(path: str) -> int:
    try:
        return os.lstat(path).st_size
    except OSError:
        return 0  # the worker reports why it cannot be opened
