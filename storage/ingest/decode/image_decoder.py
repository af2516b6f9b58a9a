"""Open single pictures in worker processes, so that what a decoder does ends with its process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from types import TracebackType
from typing import Self

import numpy as np
from PIL import Image

from sightline.storage.errors import MediaError, ModelOverloadedError
from sightline.storage.ingest.decode.worker.worker_context import Limits
from sightline.storage.ingest.decode.worker.worker_protocol import Frame, Header, ProtocolError
from sightline.storage.ingest.decode.worker_pool import Job, Pool
from sightline.storage.interfaces import Pixels

_MOST_WAITING = 256


class Decoder:
    """Worker processes that start when they are first needed; needs a running event loop.

    A picture that crashes its worker, or takes longer than ``seconds``, costs that call alone.
    """

    def __init__(self, *, max_pixels: int, memory_mib: int, seconds: float, workers: int) -> None:
        limits = Limits(
            max_file_bytes=0, max_text_bytes=0, max_pixels=max_pixels, memory_mib=memory_mib
        )
        self._pool = Pool(_unused, asdict(limits), seconds)
        self._most = workers
        self._jobs: asyncio.Queue[Job] = asyncio.Queue(_MOST_WAITING)
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

    async def upright(self, data: bytes, *, edge: int | None = None) -> Image.Image:
        """The whole picture, upright, RGB on white; with ``edge`` at most twice as long as that.

        Raises MediaError, ModelOverloadedError where too many wait, ConfigurationError where no
        process can be started.
        """
        opened: asyncio.Future[Image.Image] = asyncio.get_running_loop().create_future()
        try:
            self._jobs.put_nowait(_job(data, edge, opened))
        except asyncio.QueueFull as error:
            raise ModelOverloadedError("too many pictures wait to be opened; try again") from error
        self._waiting.add(opened)
        opened.add_done_callback(self._waiting.discard)
        if self._idle < self._jobs.qsize() and len(self._workers) < self._most:
            worker = asyncio.create_task(self._pool.run(self._take), name="decoder")
            self._workers.add(worker)
            worker.add_done_callback(self._ended)
        return await opened

    async def close(self) -> None:
        """End the processes; who still waits is cancelled."""
        for opened in tuple(self._waiting):
            opened.cancel()
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

    def _ended(self, worker: asyncio.Task[None]) -> None:
        """A worker ends only because none can be started: then nobody else's will be served."""
        self._workers.discard(worker)
        if worker.cancelled() or (error := worker.exception()) is None:
            return
        while not self._jobs.empty():
            self._jobs.get_nowait()
        for opened in tuple(self._waiting):
            if not opened.done():
                opened.set_exception(error)


def _job(data: bytes, edge: int | None, opened: asyncio.Future[Image.Image]) -> Job:
    parts: list[Image.Image] = []

    async def part(frame: Frame) -> None:
        parts.append(_picture(frame))

    async def done(_: Header) -> None:
        if len(parts) != 1:
            raise ProtocolError(f"{len(parts)} pictures for one")
        if not opened.done():
            opened.set_result(parts[0])

    async def failed(error: MediaError, _: Header) -> None:
        if not opened.done():
            opened.set_exception(error)

    header: Header = {"job": "upright", "name": "picture", "edge": edge}
    return Job(header, (data,), part, done, failed)


def _picture(frame: Frame) -> Image.Image:
    """Checked: it comes from a process that has read hostile bytes."""
    header, blobs = frame
    try:
        (pixels,) = blobs
        size = (int(header["width"]), int(header["height"]))
        if min(size) < 1 or len(pixels) != 3 * size[0] * size[1]:
            raise ValueError(f"{len(pixels)} bytes for {size}")
        return Image.frombuffer("RGB", size, pixels, "raw", "RGB", 0, 1)
    except (KeyError, ValueError, TypeError) as error:
        raise ProtocolError(f"not a picture: {error}") from error


def _unused(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB"))
