"""The two searches, with what gives their first results a second look; made when first asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

from sightline.server import import_lock
from sightline.server.auth.cursor_key import load_signing_key
from sightline.server.config import Settings
from sightline.server.lazy_resource import Background, State, in_daemon_thread
from sightline.server.models.image_text.lazy_encoder import BackgroundEncoder
from sightline.server.models.text import passage_encoder as passages
from sightline.server.models.text import cross_encoder_reranker
from sightline.server.observability.metrics import Metrics
from sightline.storage.db.pool import Database
from sightline.storage.errors import ModelUnavailableError
from sightline.storage.interfaces import TextEncoder
from sightline.storage.retrieval import (
    ImageRequest,
    ImageResults,
    ImageSearch,
    PassageRequest,
    PassageResults,
    PassageSearch,
    RerankModel,
    RerankStage,
    SearchCaches,
)
from sightline.tools.vlm.vision_language_model import VisionLanguageModel
from sightline.tools.vlm.vlm_reranker import VlmReranker

if TYPE_CHECKING:
    from sightline.storage.retrieval.llama_index import ImageRetriever, PassageRetriever

#: Further searches wait, first come first served.
MAX_CONCURRENT_SEARCHES = 32


class Searches:
    """Answers requests once the parts are open; ``start`` and ``close`` what is its own.

    ``passage_encoder`` is ``None`` where the encoder of pictures has passages too.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        database: Background[Database],
        encoder: BackgroundEncoder,
        passage_encoder: Background[passages.PassageEncoder] | None,
        vision: VisionLanguageModel | None,
        wait_seconds: float,
        delay_seconds: float,
    ) -> None:
        self._settings = settings
        self._key = load_signing_key(settings)
        self._database = database
        self._encoder = encoder
        self._passage_encoder = passage_encoder
        self._vision = vision
        self._modules = Background(
            "search",
            partial(in_daemon_thread, _import_llama_index, discard=lambda _: None),
            wait_seconds=wait_seconds,
            unavailable=ModelUnavailableError,
            delay_seconds=delay_seconds,
        )
        self._cross_encoder: Background[cross_encoder_reranker.CrossEncoderReranker] | None = None
        if settings.reranker.model not in (cross_encoder_reranker.OFF, cross_encoder_reranker.VLM):
            load: Callable[[], cross_encoder_reranker.CrossEncoderReranker] = partial(
                cross_encoder_reranker.load, settings.reranker.model, settings.encoder, metrics.batch
            )
            self._cross_encoder = Background(
                f"the reranker {settings.reranker.model!r}",
                partial(in_daemon_thread, load, discard=cross_encoder_reranker.CrossEncoderReranker.close),
                wait_seconds=wait_seconds,
                unavailable=ModelUnavailableError,
                delay_seconds=delay_seconds,
            )
        self._caches = SearchCaches()
        self._search_images: Callable[[ImageRequest], Awaitable[ImageResults]] | None = None
        self._search_passages: Callable[[PassageRequest], Awaitable[PassageResults]] | None = None
        # Where all went on at once they would all end at once, beyond what their callers wait.
        self._turns = asyncio.Semaphore(MAX_CONCURRENT_SEARCHES)

    def start(self) -> None:
        """Begin to open what is its own."""
        if self._cross_encoder is not None:
            self._cross_encoder.start()
        self._modules.start()

    async def close(self) -> None:
        """Stop what is still opening, close what is open. May be called twice."""
        await self._modules.close()
        if self._cross_encoder is not None:
            await self._cross_encoder.close()
            if self._cross_encoder.value is not None:
                self._cross_encoder.value.close()

    async def opened(self) -> None:
        """Return when its own parts are there, however long that takes."""
        await self._modules.opened.wait()
        if self._cross_encoder is not None:
            await self._cross_encoder.opened.wait()

    def states(self) -> dict[str, State]:
        """How far each of its own parts is, by its name."""
        states: dict[str, State] = {"search": self._modules.state}
        if self._cross_encoder is not None:
            states["reranker"] = self._cross_encoder.state
        return states

    async def images(self, request: ImageRequest) -> ImageResults:
        """Find pictures; raises what `ImageSearch.search` does, and while parts are opening."""
        if self._search_images is None:
            image_retriever, _ = await self._modules.get()
            search = ImageSearch(
                await self._database.get(),
                await self._encoder.get(),
                await self._queries(),
                signing_key=self._key,
                reranker=await self._reranker(),
                caches=self._caches,
            )
            self._search_images = lambda request: image_retriever(search, request).search()
        async with self._turns:
            return await self._search_images(request)

    async def passages(self, request: PassageRequest) -> PassageResults:
        """Find text; raises what `PassageSearch.search` does, and while parts are opening."""
        if self._search_passages is None:
            _, passage_retriever = await self._modules.get()
            search = PassageSearch(
                await self._database.get(),
                await self._queries(),
                signing_key=self._key,
                captions_only=self._passage_encoder is None,
                reranker=await self._reranker(),
                caches=self._caches,
            )
            self._search_passages = lambda request: passage_retriever(search, request).search()
        async with self._turns:
            return await self._search_passages(request)

    async def rerank_model(self) -> RerankModel | None:
        """Return the model that reranks the first results, or None.

        Raises ConfigurationError if the setting is invalid.
        """
        cross_encoder_reranker.check(self._settings.reranker.model, self._settings.vlm.base_url)
        if self._cross_encoder is not None:
            return await self._cross_encoder.get()
        if self._settings.reranker.model == cross_encoder_reranker.VLM and self._vision is not None:
            return VlmReranker(self._vision)
        return None

    async def _reranker(self) -> RerankStage | None:
        model = await self.rerank_model()
        if model is None:
            return None
        return RerankStage(model, timeout_seconds=self._settings.reranker.timeout_seconds)

    async def _queries(self) -> TextEncoder:
        """What encodes the words that passages are asked for."""
        if self._passage_encoder is None:
            return await self._encoder.get()
        return (await self._passage_encoder.get()).queries


def _import_llama_index() -> tuple[type[ImageRetriever], type[PassageRetriever]]:
    # Takes two seconds, so it runs in a thread.
    with import_lock.alone:
        from sightline.storage.retrieval.llama_index import ImageRetriever, PassageRetriever

    return ImageRetriever, PassageRetriever
