"""Decode single images in worker processes: a crash fails one call only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from sightline.storage.errors import MediaError, ModelOverloadedError
from sightline.storage.ingest.decode.worker.worker_context import WorkerLimits
from sightline.storage.ingest.decode.worker.worker_protocol import (
    JobPart,
    LoadedImage,
    LoadImageRequest,
    ProtocolError,
)
from sightline.storage.ingest.decode.worker_pool import Job, WorkerPool
from sightline.storage.interfaces import Pixels

_MAX_WAITING = 256


class ImageDecoder:
    """Starts worker processes on first use; needs a running event loop.

    An image that crashes its worker, or takes longer than ``timeout_seconds``, fails only its call.
    """

    def __init__(
        self, *, max_pixels: int, memory_mib: int, timeout_seconds: float, workers: int
    ) -> None:
        limits = WorkerLimits(
            max_file_bytes=0, max_text_bytes=0, max_pixels=max_pixels, memory_mib=memory_mib
        )
        self._pool = WorkerPool(_no_preprocess, limits, timeout_seconds)
        self._max_workers = workers
        self._jobs: asyncio.Queue[Job] = asyncio.Queue(_MAX_WAITING)
        self._idle = 0
        self._workers: set[asyncio.Task[None]] = set()
        self._waiting: set[asyncio.Future[Image.Image]] = set()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def load_upright(self, data: bytes, *, edge: int | None = None) -> Image.Image:
        """Return the whole image, upright, RGB on white.

        With ``edge`` the longer side is at most twice that. Raises MediaError,
        ModelOverloadedError if too many calls wait, ConfigurationError if no process starts.
        """
        result: asyncio.Future[Image.Image] = asyncio.get_running_loop().create_future()
        try:
            self._jobs.put_nowait(_job(data, edge, result))
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


def _job(data: bytes, edge: int | None, result: asyncio.Future[Image.Image]) -> Job:
    images: list[Image.Image] = []

    async def on_part(part: JobPart) -> None:
        if not isinstance(part, LoadedImage):
            raise ProtocolError(f"a {type(part).__name__} for an image")
        images.append(_image_of(part))

    async def on_done() -> None:
        if len(images) != 1:
            raise ProtocolError(f"{len(images)} images for one request")
        if not result.done():
            result.set_result(images[0])

    async def on_failed(error: MediaError) -> None:
        if not result.done():
            result.set_exception(error)

    return Job(LoadImageRequest(data, edge), on_part, on_done, on_failed)


def _image_of(part: LoadedImage) -> Image.Image:
    if min(part.width, part.height) < 1 or len(part.pixels) != 3 * part.width * part.height:
        raise ProtocolError(f"{len(part.pixels)} bytes for {part.width} x {part.height} pixels")
    return Image.frombuffer("RGB", (part.width, part.height), part.pixels, "raw", "RGB", 0, 1)


def _no_preprocess(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))
