"""Searches and tools of this installation, in this process."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from functools import partial
from typing import Any

import numpy as np
from mcp import Client
from mcp.types import CallToolResult
from numpy.typing import NDArray

from sightline.client.tool_session import ToolSession
from sightline.server.app import App, create_app
from sightline.server.config import Settings
from sightline.server.models.model_choice import NO_RERANKER, VLM_RERANKER
from sightline.server.models.text import cross_encoder_reranker
from sightline.server.runtime import Runtime
from sightline.storage.analytics.query_vectors import encode_queries, query_encoder
from sightline.storage.errors import ConfigurationError, SightlineError
from sightline.storage.retrieval import (
    ImageHit,
    ImageRequest,
    PassageHit,
    PassageRequest,
    RerankModel,
    SearchResults,
)
from sightline.storage.types import Level


class LocalBackend:
    """Searches without the detour over tools; calls tools through an in-memory client."""

    def __init__(
        self, app: App, session: ToolSession, settings: Settings, open_: ExitStack
    ) -> None:
        self._app = app
        self._session = session
        self._settings = settings
        self._open = open_
        self._rerankers: dict[str, RerankModel] = {}

    async def search_images(self, request: ImageRequest) -> SearchResults[ImageHit]:
        with _details_as_note():
            search = await self._runtime.image_search()
            async with self._runtime.search_slot():
                return await search.search(request)

    async def search_passages(self, request: PassageRequest) -> SearchResults[PassageHit]:
        with _details_as_note():
            search = await self._runtime.passage_search()
            async with self._runtime.search_slot():
                return await search.search(request)

    async def embed(
        self, texts: Sequence[str], level: Level, collection: str | None
    ) -> NDArray[np.float16]:
        deps = self._runtime.dependencies()
        encoder = await query_encoder(deps, level)
        async with deps.connection() as connection:
            found = await encode_queries(
                connection, encoder, texts, level=level, collection=collection
            )
        return found.vectors

    async def call_tool(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        return await self._session.call(tool, arguments)

    async def load_reranker(self, model: str | None) -> RerankModel:
        if model is None or model == self._settings.reranker.model:
            stage = await self._runtime.rerank_stage()
            if stage is None:
                raise ConfigurationError(
                    "No reranker is configured. Set SIGHTLINE_RERANKER__MODEL, or name a model, "
                    "such as reranker('local-dir:PATH')."
                )
            return stage.model
        if model not in self._rerankers:
            self._rerankers[model] = await load_cross_encoder(model, self._settings, self._open)
        return self._rerankers[model]

    @property
    def _runtime(self) -> Runtime:
        if self._app.runtime is None:
            raise RuntimeError("The app does not run.")
        return self._app.runtime


@contextmanager
def _details_as_note() -> Iterator[None]:
    """Show the details of an error in its traceback: the caller is the operator."""
    try:
        yield
    except SightlineError as error:
        if error.details:
            error.add_note(error.details)
        raise


@asynccontextmanager
async def open_local(settings: Settings) -> AsyncIterator[LocalBackend]:
    """Open database and models of the settings; calls wait until they are loaded."""
    app = create_app(
        # The caller is this process: it needs no protection from itself.
        settings.replace(
            startup_timeout_seconds=math.inf,
            rate_limit__max_calls_per_minute=0,
            rate_limit__max_concurrent_calls=0,
        )
    )
    connect: Callable[[], Client] = partial(Client, app)
    with ExitStack() as open_:
        async with ToolSession(connect, "this installation") as session:
            yield LocalBackend(app, session, settings, open_)


async def load_cross_encoder(model: str, settings: Settings, open_: ExitStack) -> RerankModel:
    """Load a cross-encoder by name; ``open_`` closes it. Raises ConfigurationError."""
    if model in (NO_RERANKER, VLM_RERANKER):
        raise ConfigurationError(
            f"The reranker {model!r} is a value of SIGHTLINE_RERANKER__MODEL only. Name a "
            "cross-encoder: 'local-dir:PATH' or 'OWNER/MODEL'."
        )
    load = cross_encoder_reranker.load
    loaded = await asyncio.to_thread(load, model, settings.encoder, settings.data_dir)
    return open_.enter_context(closing(loaded))
