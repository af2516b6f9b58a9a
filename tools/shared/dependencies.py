"""The dependencies of the tools, created by the composition root."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.mcpserver import Context

from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.ingest.decode.image_decoder import ImageDecoder
from sightline.storage.ingest.ingest_capacity import IngestCapacity
from sightline.storage.ingest.ingest_options import IngestOptions, UrlPolicy
from sightline.storage.interfaces import (
    Detector,
    ImageEncoder,
    OcrEngine,
    TextEncoder,
    Transcriber,
)
from sightline.storage.retrieval.search_types import (
    ImageRequest,
    ImageResults,
    PassageRequest,
    PassageResults,
)
from sightline.tools.shared.image_delivery import ImageMode
from sightline.tools.shared.limits import Limits
from sightline.tools.vlm.vision_language_model import VisionLanguageModel

T_co = TypeVar("T_co", covariant=True)


class Provider(Protocol[T_co]):
    """A resource that loads in the background."""

    async def get(self) -> T_co:
        """Return the resource, or wait a limited time for it.

        Raises a SightlineError that says what is missing and whether to retry.
        """
        ...


@dataclass(frozen=True, slots=True)
class Dependencies:
    """Everything that the tools use. Tools create no clients themselves."""

    database: Provider[Database]
    blobs: BlobStore
    encoder: Provider[ImageEncoder]
    #: Encodes passages; None limits passage search to words.
    passage_encoder: Provider[TextEncoder] | None
    #: Real paths of folders whose files callers may name; empty refuses every path.
    allowed_roots: tuple[Path, ...]
    image_search: Callable[[ImageRequest], Awaitable[ImageResults]]
    passage_search: Callable[[PassageRequest], Awaitable[PassageResults]]
    ingest_options: IngestOptions
    #: Decodes and draws untrusted images in worker processes.
    decoder: ImageDecoder
    #: Hosts from which ``add_images`` may fetch; None refuses every URL.
    urls: UrlPolicy | None = None
    #: None switches OCR off.
    ocr_engine: OcrEngine | None = None
    #: None leaves speech out.
    transcriber: Transcriber | None = None
    #: Finds objects by phrases; None if detection is off.
    detector: Provider[Detector] | None = None
    #: Shared by all ingests of the server; None gives each its own.
    ingest_capacity: IngestCapacity | None = None
    #: Folder with calibrations of models, as JSON; None for the included ones only.
    calibrations: Path | None = None
    #: None without a vision-language model.
    vlm: VisionLanguageModel | None = None
    #: None switches ``query_sql`` off.
    sql_runner: Provider[SqlRunner] | None = None
    #: Whether results contain images; a connection may differ, see `image_delivery`.
    images: ImageMode = "inline"
    limits: Limits = field(default_factory=Limits)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        database = await self.database.get()
        async with database.connection() as connection:
            yield connection

    @asynccontextmanager
    async def write_connection(self) -> AsyncIterator[Connection]:
        database = await self.database.get()
        async with database.write_connection() as connection:
            yield connection


#: The context that the SDK passes to every call.
Call = Context[Dependencies, Any]


def dependencies(ctx: Call) -> Dependencies:
    return ctx.request_context.lifespan_context


def principal() -> str | None:
    """Return the principal of this call, None without authentication."""
    token = get_access_token()
    return None if token is None else token.client_id


class ReportProgress(Protocol):
    """Sends progress to the client of a call, without waiting."""

    def __call__(
        self, done: float, total: float | None = None, message: str | None = None
    ) -> None: ...


@asynccontextmanager
async def progress_reporter(ctx: Call) -> AsyncIterator[ReportProgress]:
    """Yield a function that reports progress; wait for all messages at the end."""
    tasks: list[asyncio.Task[None]] = []

    def report(done: float, total: float | None = None, message: str | None = None) -> None:
        tasks.append(asyncio.create_task(ctx.report_progress(done, total, message)))

    try:
        yield report
    finally:
        # The client may have disconnected; that does not undo the work.
        await asyncio.gather(*tasks, return_exceptions=True)
