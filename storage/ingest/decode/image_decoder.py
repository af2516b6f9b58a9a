"""Decode and draw single images in worker processes: a crash fails one call only.

Neither files nor whole bitmaps reach this process. A worker reads the file, takes the part that is
needed at the size that is needed, and sends that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from PIL import Image

from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.ingest.decode.render.drawing import BoxOverlay, Style
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.worker_protocol import BlobSource
from sightline.storage.ingest.decode.worker_pool import Job, WorkerPool, single_result_job
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import Pixels
from sightline.storage.types import Box

_MAX_WAITING = 64
_MEMORY_BYTES = 512 << 20

Result = TypeVar("Result")

#: The bytes of an image, its real path, or its place in the blob store.
ImageSource = bytes | str | BlobSource


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An upright RGB image or a part; ``source_size``: the whole, in pixels."""

    image: Image.Image
    source_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RenderedJpeg:
    """A JPEG without metadata, and its size in pixels."""

    data: bytes
    width: int
    height: int


class ImageDecoder:
    """Starts worker processes on first use; needs a running event loop.

    An image that crashes its worker, or takes longer than ``timeout_seconds``, fails only its call.
    A principal uses at most half of the workers, and its further calls wait. A cancelled call ends
    its worker, so that nobody waits for work that is not wanted any more.

    Methods raise MediaError, ModelOverloadedError if too many calls of the principal wait, and
    ConfigurationError if no process starts.
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
        self._slots = FairSemaphore(workers, max_waiting=_MAX_WAITING, what="images")
        #: Bytes of the decoded images that all calls keep. Hold it around `load`, never inside.
        self.memory = FairSemaphore(
            _MEMORY_BYTES, max_waiting=_MAX_WAITING, what="memory for images"
        )
        self._jobs: asyncio.Queue[tuple[Job, asyncio.Future[Any]]] = asyncio.Queue()
        self._idle = 0
        #: The future that each worker task works for.
        self._workers: dict[asyncio.Task[None], asyncio.Future[Any] | None] = {}
        self._waiting: set[asyncio.Future[Any]] = set()

    async def load(
        self,
        source: ImageSource,
        *,
        principal: str | None = None,
        crop: Box | None = None,
        max_edge: int | None = None,
    ) -> DecodedImage:
        """Return the image or its part inside ``crop``, upright, RGB on white.

        With ``max_edge`` its longer side is reduced to that.
        """
        data, path, blob = _fields(source)
        request = messages.LoadImageRequest(data, path, blob, crop, max_edge)
        return await self._run(request, _parse_image, principal)

    async def render(
        self,
        source: ImageSource,
        *,
        max_edge: int,
        max_bytes: int,
        principal: str | None = None,
        crop: Box | None = None,
        overlays: Sequence[BoxOverlay] = (),
        style: Style = "box",
    ) -> RenderedJpeg:
        """Return a JPEG of the image or its part inside ``crop``, with boxes of the whole image."""
        data, path, blob = _fields(source)
        request = messages.RenderImageRequest(
            max_edge, max_bytes, data, path, blob, crop, tuple(overlays), style
        )
        return await self._run(request, _parse_jpeg, principal)

    async def close(self) -> None:
        """Stop the processes and cancel the calls that wait."""
        for result in tuple(self._waiting):
            result.cancel()
        await _end(tuple(self._workers))

    async def _run(
        self,
        request: messages.Request,
        convert: Callable[[messages.JobPart], Result],
        principal: str | None,
    ) -> Result:
        async with self._slots.hold(principal):
            job, result = single_result_job(request, convert)
            self._waiting.add(result)
            result.add_done_callback(self._waiting.discard)
            self._jobs.put_nowait((job, result))
            if self._idle < self._jobs.qsize() and len(self._workers) < self._max_workers:
                worker = asyncio.create_task(self._pool.run(self._take), name="image-decoder")
                self._workers[worker] = None
                worker.add_done_callback(self._on_worker_end)
            try:
                return await result
            except asyncio.CancelledError:
                await _end([task for task, work in self._workers.items() if work is result])
                raise

    async def _take(self) -> Sequence[Job]:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a worker's task
        self._workers[task] = None
        self._idle += 1
        try:
            while True:
                job, result = await self._jobs.get()
                if not result.done():  # else it was cancelled
                    self._workers[task] = result
                    return [job]
        finally:
            self._idle -= 1

    def _on_worker_end(self, worker: asyncio.Task[None]) -> None:
        """Fail all calls: a worker task ends by itself only if no process can be started."""
        del self._workers[worker]
        if worker.cancelled() or (error := worker.exception()) is None:
            return
        while not self._jobs.empty():
            self._jobs.get_nowait()
        for result in tuple(self._waiting):
            if not result.done():
                result.set_exception(error)


async def _end(workers: Sequence[asyncio.Task[None]]) -> None:
    for worker in workers:
        worker.cancel()
    for worker in workers:
        with suppress(asyncio.CancelledError):
            await asyncio.shield(worker)


def _fields(source: ImageSource) -> tuple[bytes | None, str | None, BlobSource | None]:
    return (
        source if isinstance(source, bytes) else None,
        source if isinstance(source, str) else None,
        source if isinstance(source, BlobSource) else None,
    )


def _parse_image(part: messages.JobPart) -> DecodedImage:
    if not isinstance(part, messages.LoadedImage):
        raise messages.ProtocolError(f"a {type(part).__name__} for an image")
    if min(part.width, part.height) < 1 or len(part.pixels) != 3 * part.width * part.height:
        raise messages.ProtocolError(
            f"{len(part.pixels)} bytes for {part.width} x {part.height} pixels"
        )
    size = (part.width, part.height)
    image = Image.frombuffer("RGB", size, part.pixels, "raw", "RGB", 0, 1)
    return DecodedImage(image, part.source_size)


def _parse_jpeg(part: messages.JobPart) -> RenderedJpeg:
    if not isinstance(part, messages.RenderedImage):
        raise messages.ProtocolError(f"a {type(part).__name__} for a JPEG")
    return RenderedJpeg(part.jpeg, part.width, part.height)


def _no_preprocess(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))
