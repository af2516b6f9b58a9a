"""Decode single images in worker processes: a crash fails one call only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress

import numpy as np
from PIL import Image

from sightline.storage.errors import ModelOverloadedError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker_pool import Job, WorkerPool, single_result_job
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import Pixels

_MAX_WAITING = 256


class ImageDecoder:
    """Starts worker processes on first use; needs a running event loop.

    An image that crashes its worker, or takes longer than ``timeout_seconds``, fails only its call.
    """

    def __init__(
        self, *, max_pixels: int, memory_mib: int, timeout_seconds: float, workers: int
    ) -> None:
        limits = IngestOptions(
            max_pixels=max_pixels,
            worker_memory_mib=memory_mib,
            file_timeout_seconds=timeout_seconds,
        )
        self._pool = WorkerPool(_no_preprocess, limits)
        self._max_workers = workers
        self._jobs: asyncio.Queue[Job] = asyncio.Queue(_MAX_WAITING)
        self._idle = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Future[Image.Image]] = set()

    async def load_upright(self, data: bytes, *, edge: int | None = None) -> Image.Image:
        """Return the whole image, upright, RGB on white.

        With ``edge`` the longer side is at most twice that. Raises MediaError,
        ModelOverloadedError if too many calls wait, ConfigurationError if no process starts.
        """
        job, result = single_result_job(messages.LoadImageRequest(data, edge), _parse_image)
        try:
            self._jobs.put_nowait(job)
        except asyncio.QueueFull as error:
            raise ModelOverloadedError("too many images wait to be decoded; try again") from error
        self._waiting.add(result)
        result.add_done_callback(self._waiting.discard)
        if self._idle < self._jobs.qsize() and len(self._workers) < self._max_workers:
            worker = asyncio.create_task(self._pool.run(self._take), name="image-decoder")
            self._workers.add(worker)
            worker.add_done_callback(self._on_worker_end)
        return await result

    async def close(self) -> None:
        """Stop the processes and cancel the calls that wait."""
        for result in tuple(self._waiting):
            result.cancel()
        workers = tuple(self._workers)
        for worker in workers:
            worker.cancel()
        for worker in workers:
            with suppress(asyncio.CancelledError):
                await worker

    async def _take(self) -> Sequence[Job]:
        self._idle += 1
        try:
            return [await self._jobs.get()]
        finally:
            self._idle -= 1

    def _on_worker_end(self, worker: asyncio.Task[None]) -> None:
        """Fail all calls: a worker task ends only if no process can be started."""
        self._workers.discard(worker)
        if worker.cancelled() or (error := worker.exception()) is None:
            return
        while not self._jobs.empty():
            self._jobs.get_nowait()
        for result in tuple(self._waiting):
            if not result.done():
                result.set_exception(error)


def _parse_image(part: messages.JobPart) -> Image.Image:
    if not isinstance(part, messages.LoadedImage):
        raise messages.ProtocolError(f"a {type(part).__name__} for an image")
    if min(part.width, part.height) < 1 or len(part.pixels) != 3 * part.width * part.height:
        raise messages.ProtocolError(
            f"{len(part.pixels)} bytes for {part.width} x {part.height} pixels"
        )
    return Image.frombuffer("RGB", (part.width, part.height), part.pixels, "raw", "RGB", 0, 1)


def _no_preprocess(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))
