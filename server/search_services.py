"""The two searches, with what gives their first results a second look; made when first asked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
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
from sightline.storage.retrieval.search_types import (
    ImageRequest,
    ImageResults,
    PassageRequest,
    PassageResults,
)
from sightline.tools.vlm.vision_language_model import VisionLanguageModel
from sightline.tools.vlm.vlm_reranker import VlmReranker

if TYPE_CHECKING:
    from sightline.storage.retrieval.image_search import ImageSearch
    from sightline.storage.retrieval.passage_search import PassageSearch
    from sightline.storage.retrieval.ranking.reranker import Judge, RerankStage
    from sightline.storage.retrieval.search_caches import Memory

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
            partial(in_daemon_thread, _import_searches, discard=lambda _: None),
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
        self._images: ImageSearch | None = None
        self._passages: PassageSearch | None = None
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
        if self._images is None:
            image_search, _, memory = await self._modules.get()
            self._images = image_search(
                await self._database.get(),
                await self._encoder.get(),
                await self._queries(),
                signing_key=self._key,
                reranker=await self._reranker(),
                memory=memory,
            )
        async with self._turns:
            return await self._images.search(request)

    async def passages(self, request: PassageRequest) -> PassageResults:
        """Find text; raises what `PassageSearch.search` does, and while parts are opening."""
        if self._passages is None:
            _, passage_search, memory = await self._modules.get()
            self._passages = passage_search(
                await self._database.get(),
                await self._queries(),
                signing_key=self._key,
                captions_only=self._passage_encoder is None,
                reranker=await self._reranker(),
                memory=memory,
            )
        async with self._turns:
            return await self._passages.search(request)

    async def judge(self) -> Judge | None:
        """What judges the first results again; ``None`` where nothing does.

        Raises ConfigurationError where it cannot be.
        """
        cross_encoder_reranker.check(self._settings.reranker.model, self._settings.vlm.base_url)
        if self._cross_encoder is not None:
            return await self._cross_encoder.get()
        if self._settings.reranker.model == cross_encoder_reranker.VLM and self._vision is not None:
            return VlmReranker(self._vision)
        return None

    async def _reranker(self) -> RerankStage | None:
        judge = await self.judge()
        if judge is None:
            return None
        from sightline.storage.retrieval.ranking.reranker import (
            RerankStage,  # the searches have it already
        )

        return RerankStage(
            judge=judge,
            deadline_seconds=self._settings.reranker.timeout_seconds,
        )

    async def _queries(self) -> TextEncoder:
        """What encodes the words that passages are asked for."""
        if self._passage_encoder is None:
            return await self._encoder.get()
        return (await self._passage_encoder.get()).queries


def _import_searches() -> tuple[type[ImageSearch], type[PassageSearch], Memory]:
    # Costs two seconds (LlamaIndex), so it is done in a thread, beside torch.
    with import_lock.alone:
        from sightline.storage.retrieval.image_search import ImageSearch
        from sightline.storage.retrieval.passage_search import PassageSearch
        from sightline.storage.retrieval.search_caches import Memory

    return ImageSearch, PassageSearch, Memory()
