"""Decode and draw single images in worker processes: a crash fails one call only.

A worker reads the file, takes the part that is needed at the size that is needed, and sends only
that.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.ingest.decode.ocr_layout import join_hyphenated, normalize_box
from sightline.storage.ingest.decode.render.overlays import BoxOverlay, Style
from sightline.storage.ingest.decode.render.view_geometry import crop_pixels, view_edge
from sightline.storage.ingest.decode.worker import frames
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.worker_protocol import BlobSource
from sightline.storage.ingest.decode.worker_pool import (
    WorkerPool,
    no_preprocess,
    single_result_job,
)
from sightline.storage.ingest.decode.worker_slots import WorkerSlots
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.types import Box

_MAX_WAITING = 64
_MEMORY_BYTES = 512 << 20
#: A page that ends its worker: its stored picture does not.
_WORKER_LOST = frozenset({"timeout", "crashed", "out_of_memory"})

Result = TypeVar("Result")

#: The bytes of an image, its real path, or its place in the blob store.
ImageSource = bytes | str | BlobSource


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """An upright RGB image or a part; ``source_size``: the whole, in pixels."""

    image: Image.Image
    source_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class DocumentPage:
    """A page of a stored document, from 1, and the size of its stored picture."""

    document: BlobSource
    page: int
    picture_size: tuple[int, int]


@dataclass(frozen=True, slots=True)
class RenderedJpeg:
    """A JPEG without metadata, and its size in pixels.

    ``document_error`` is the code of the error for which a page was not rendered again.
    """

    data: bytes
    width: int
    height: int
    document_error: str | None = None


class ImageDecoder:
    """Starts worker processes on first use; needs a running event loop.

    An image that crashes its worker, or takes longer than ``timeout_seconds``, fails only its call.
    A principal uses at most half of the workers, and its further calls wait. A cancelled call ends
    its worker, so that nobody waits for work that is not wanted any more.

    Methods raise MediaError, ModelOverloadedError if too many calls of the principal wait, and
    ConfigurationError if no process starts.
    """

    def __init__(
        self,
        *,
        max_pixels: int,
        memory_mib: int,
        timeout_seconds: float,
        workers: int,
        pdf_passwords: tuple[str, ...] = (),
    ) -> None:
        self._limits = IngestOptions(
            max_pixels=max_pixels,
            worker_memory_mib=memory_mib,
            file_timeout_seconds=timeout_seconds,
            pdf_passwords=pdf_passwords,
        )
        self._slots = WorkerSlots(workers, max_per_principal=workers // 2, max_waiting=_MAX_WAITING)
        self._running: set[asyncio.Task[None]] = set()
        #: Bytes of the decoded images that all calls keep. Hold it around `load`, never inside.
        self.memory = FairSemaphore(
            _MEMORY_BYTES, max_waiting=_MAX_WAITING, what="memory for images"
        )

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
        pixels = self._limits.max_pixels if max_edge is None else max_edge * max_edge
        return await self._run(request, _parse_image, principal, 3 * pixels)

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
        min_edge: int = 0,
        page: DocumentPage | None = None,
    ) -> RenderedJpeg:
        """Return a JPEG of the image or its part inside ``crop``, with boxes.

        ``overlays`` are boxes of the whole image. A part shorter than ``min_edge`` is enlarged, at
        most eight times. A part of a ``page`` is then rendered from its document; if that fails,
        ``source`` is enlarged.
        """
        data, path, blob = _fields(source)
        request = messages.RenderImageRequest(
            max_edge, max_bytes, data, path, blob, crop, tuple(overlays), style, min_edge
        )
        if page is not None:
            left, top, right, bottom = crop_pixels(page.picture_size, crop or (0.0, 0.0, 1.0, 1.0))
            edge = max(right - left, bottom - top)
            if (page_edge := view_edge(edge, max_edge, min_edge)) > edge:
                again = request._replace(
                    document=page.document, page=page.page, page_edge=page_edge
                )
                try:
                    return await self._run(again, _parse_jpeg, principal, max_bytes)
                except MediaError as error:
                    if error.code not in _WORKER_LOST:
                        raise
                    picture = await self._run(request, _parse_jpeg, principal, max_bytes)
                    return replace(picture, document_error=error.code)
        return await self._run(request, _parse_jpeg, principal, max_bytes)

    async def text_lines(
        self, page: DocumentPage, *, principal: str | None = None
    ) -> list[tuple[str, Box]]:
        """Return the text layer of a page, with the box of each line, in reading order."""
        request = messages.PageTextRequest(page.document, page.page)
        return await self._run(request, _parse_lines, principal, frames.MAX_FRAME_BYTES)

    async def close(self) -> None:
        """Stop the processes and cancel the running calls."""
        running = tuple(self._running)
        for task in running:
            task.cancel()
        if running:
            await asyncio.wait(running)
        await self._slots.close()

    async def _run(
        self,
        request: messages.Request,
        convert: Callable[[messages.JobPart], Result],
        principal: str | None,
        max_bytes: int,
    ) -> Result:
        pool = WorkerPool(no_preprocess, self._limits, slots=self._slots, principal=principal)
        job, result = single_result_job(request, convert, max_bytes)
        # A task of its own, which `close` may cancel. To cancel the call cancels it too.
        task = asyncio.create_task(pool.run_job(job), name="image-decoder")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            await task
        except BaseException:
            result.cancel()
            raise
        return result.result()


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


def _parse_lines(part: messages.JobPart) -> list[tuple[str, Box]]:
    if not isinstance(part, messages.TextLines):
        raise messages.ProtocolError(f"a {type(part).__name__} for text")
    try:
        lines = [(join_hyphenated(text)[0], normalize_box(box)) for text, box, _ in part.lines]
    except ValueError as error:
        raise messages.ProtocolError(f"an invalid line: {error}") from error
    return lines


def _parse_jpeg(part: messages.JobPart) -> RenderedJpeg:
    if not isinstance(part, messages.RenderedImage):
        raise messages.ProtocolError(f"a {type(part).__name__} for a JPEG")
    return RenderedJpeg(part.jpeg, part.width, part.height, part.document_error)
