"""Resources of a server: opened in the background, closed by one AsyncExitStack."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from sightline.server.auth.cursor_key import load_signing_key
from sightline.server.config import Settings
from sightline.server.database.provider import open_database
from sightline.server.lazy_resource import (
    Closeable,
    LazyResource,
    State,
    model_on_demand,
    open_in_thread,
)
from sightline.server.mcp_server.principals import AnalyticsProvider, PrincipalCache
from sightline.server.models.model_choice import (
    NO_DETECTOR,
    NO_RERANKER,
    SAME_AS_IMAGES,
    VLM_RERANKER,
    check_reranker,
    load_detector,
    load_encoder,
    load_passage_encoder,
    load_reranker,
)
from sightline.server.models.model_files import shown_model
from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from sightline.server.models.speech import load_transcriber
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.server.observability.metrics import Metrics
from sightline.server.search_loading import open_search_types
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import (
    DatabaseUnavailableError,
    ModelError,
    ModelUnavailableError,
    SightlineError,
)
from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.ingest.decode.image_decoder import ImageDecoder
from sightline.storage.ingest.ingest_capacity import IngestCapacity
from sightline.storage.ingest.ingest_options import IngestOptions, UrlPolicy
from sightline.storage.interfaces import TextEncoder
from sightline.storage.isolation.caller import current_caller
from sightline.storage.machine import available_cores
from sightline.storage.retrieval import (
    ImageRequest,
    ImageResults,
    LogLimits,
    PassageRequest,
    PassageResults,
    RerankModel,
    RerankStage,
    RetrievalLog,
    SearchCaches,
)
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.limits import Limits
from sightline.tools.vlm.vision_language_model import ModelTimeoutError
from sightline.tools.vlm.vlm_reranker import VlmReranker

if TYPE_CHECKING:
    from sightline.server.models.detection.loading import PhraseDetector
    from sightline.server.models.image_text.image_text_encoder import ImageTextEncoder
    from sightline.server.models.text.cross_encoder_reranker import CrossEncoderReranker
    from sightline.server.models.text.passage_encoder import PassageEncoder
    from sightline.server.models.vision_language.vlm_client import VlmClient
    from sightline.storage.retrieval import ImageSearch, PassageSearch

T = TypeVar("T")
C = TypeVar("C", bound=Closeable)

#: Orchestrators wait about one second for the answer of a readiness probe.
_VLM_PROBE_SECONDS = 0.8
#: Delay of slow imports, which would slow down the handshake of the client.
_HANDSHAKE_SECONDS = 0.5
#: Time to decode an image, after which its worker process is killed.
_DECODE_TIMEOUT_SECONDS = 20.0
#: Further searches wait; callers take turns.
MAX_CONCURRENT_SEARCHES = 32
#: Waiting searches of one caller. Far more than the default limit of its concurrent calls.
_MAX_WAITING_SEARCHES = 1024


class Runtime:
    """Database, models and searches of a process. Use it with ``async with``."""

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        on_failure: Callable[[Exception], None] | None = None,
        uses_llama_index: bool = True,
        preloads: bool = True,
    ) -> None:
        """Create the resources. Nothing is opened before ``async with``.

        ``on_failure`` is called if the database has an error that a retry cannot solve, such as
        another schema version. With ``uses_llama_index``, searches run through its retrievers, and
        start later. Without ``preloads``, a resource opens at the first call that needs it.
        """
        self._delay_seconds = _HANDSHAKE_SECONDS if preloads else None
        self._settings, self._metrics = settings, metrics
        self._stack = AsyncExitStack()
        self.database = LazyResource(
            "the database",
            partial(open_database, settings),
            timeout_seconds=settings.startup_timeout_seconds,
            error_type=DatabaseUnavailableError,
            retry_on=(DatabaseUnavailableError,),
            on_failure=on_failure,
            delay_seconds=self._delay_seconds,
        )
        self._resources: dict[str, LazyResource[Any]] = {"database": self.database}
        self.principal_cache = PrincipalCache(self.database)
        encoder, observer = settings.encoder, metrics.batch
        self.encoder: LazyResource[ImageTextEncoder] = self._add_model(
            "encoder",
            f"the encoder {shown_model(encoder.model)}",
            partial(load_encoder, settings, observer),
        )
        #: None if the image encoder also encodes passages.
        self.passage_encoder: LazyResource[PassageEncoder] | None = None
        if encoder.passage_model != SAME_AS_IMAGES:
            self.passage_encoder = self._add_model(
                "passage_encoder",
                f"the passage encoder {shown_model(encoder.passage_model)}",
                partial(load_passage_encoder, settings, observer),
            )
        self.detector: LazyResource[PhraseDetector] | None = None  # opened at the first use
        if settings.detector.model != NO_DETECTOR:
            name = f"the detector {shown_model(settings.detector.model)}"
            load = partial(load_detector, settings, observer)
            self.detector = model_on_demand(name, load, settings.startup_timeout_seconds)
        reranker = settings.reranker.model
        self._cross_encoder: LazyResource[CrossEncoderReranker] | None = None
        if reranker not in (NO_RERANKER, VLM_RERANKER):
            self._cross_encoder = self._add_model(
                "reranker",
                f"the reranker {shown_model(reranker)}",
                partial(load_reranker, settings, observer),
            )
        self._search_types = self._add(
            "search", "search", partial(open_search_types, uses_llama_index)
        )
        #: None if no endpoint is configured.
        self.vlm = _create_vlm_client(settings, metrics)
        self._transcriber = load_transcriber(settings.speech)
        self._decoder = create_image_decoder(settings)
        # Once: who may replace a root by a link later must not move it.
        self._allowed_roots = tuple(root.resolve() for root in settings.allowed_roots)
        self._ingest_capacity = IngestCapacity(ingest_options(settings), observer=metrics.ingest)
        self._signing_key = cache(partial(load_signing_key, settings))  # may write a file
        self._search_caches = SearchCaches()
        self._search_slots = FairSemaphore(
            MAX_CONCURRENT_SEARCHES, max_waiting=_MAX_WAITING_SEARCHES, what="a search"
        )
        self._retrieval_log: RetrievalLog | None = None
        self._image_search: ImageSearch | None = None
        self._passage_search: PassageSearch | None = None

    async def __aenter__(self) -> Self:
        for resource in self._resources.values():
            await self._stack.enter_async_context(resource)
        if self.detector is not None:
            await self._stack.enter_async_context(self.detector)
        if self.vlm is not None:
            self._stack.push_async_callback(self.vlm.close)
        if self._transcriber is not None:
            self._stack.push_async_callback(self._transcriber.close)
        self._stack.push_async_callback(self._decoder.close)
        self._stack.push_async_callback(self._ingest_capacity.close)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close all resources, and stop those that still open. May be called twice."""
        await self._stack.aclose()

    async def wait_ready(self) -> None:
        """Wait until each resource is open or has failed for good."""
        for resource in self._resources.values():
            await resource.settled.wait()

    def states(self) -> dict[str, State]:
        """Return the state of each resource."""
        return {name: resource.state for name, resource in self._resources.items()}

    def dependencies(self) -> Dependencies:
        """Return the dependencies of the tools."""
        settings = self._settings
        return Dependencies(
            database=self.database,
            blobs=BlobStore(settings.data_dir),
            encoder=self.encoder,
            passage_encoder=self.passage_encoder or self.encoder,
            allowed_roots=self._allowed_roots,
            urls=allowed_urls(settings),
            image_search=self.search_images,
            passage_search=self.search_passages,
            ingest_options=ingest_options(settings),
            ingest_capacity=self._ingest_capacity,
            decoder=self._decoder,
            detector=self.detector,
            transcriber=self._transcriber,
            ocr_engine=(
                None
                if settings.ingest.ocr == "off"
                else load_ocr_engine(settings.ingest.ocr_models)
            ),
            vlm=self.vlm,
            sql_runner=(
                AnalyticsProvider(settings, self.database) if settings.analytics.enabled else None
            ),
            images=settings.images,
            limits=Limits(**dict(settings.limits)),
            calibrations=settings.data_dir / "calibrations",
        )

    async def search_images(self, request: ImageRequest) -> ImageResults:
        """Run an image search; raises SightlineError also while resources still open."""
        search = await self.image_search()
        retriever = (await self._search_types.get()).image_retriever
        async with self.search_slot():
            if retriever is None:
                return await search.search(request)
            return await retriever(search, request).search()

    async def search_passages(self, request: PassageRequest) -> PassageResults:
        """Run a passage search; raises SightlineError also while resources still open."""
        search = await self.passage_search()
        retriever = (await self._search_types.get()).passage_retriever
        async with self.search_slot():
            if retriever is None:
                return await search.search(request)
            return await retriever(search, request).search()

    def search_slot(self) -> AbstractAsyncContextManager[None]:
        """Hold one of the slots for concurrent searches; callers take turns."""
        return self._search_slots.hold(current_caller())

    async def image_search(self) -> ImageSearch:
        """Return the image search; raises SightlineError while resources still open."""
        if self._image_search is None:
            self._request_search()
            self._image_search = (await self._search_types.get()).image_search(
                await self.database.get(),
                await self.encoder.get(),
                await self._query_encoder(),
                signing_key=self._signing_key(),
                reranker=await self.rerank_stage(),
                caches=self._search_caches,
                retrieval_log=await self._open_retrieval_log(),
            )
        return self._image_search

    async def passage_search(self) -> PassageSearch:
        """Return the passage search; raises SightlineError while resources still open."""
        if self._passage_search is None:
            self._request_search()
            self._passage_search = (await self._search_types.get()).passage_search(
                await self.database.get(),
                await self._query_encoder(),
                signing_key=self._signing_key(),
                captions_only=self.passage_encoder is None,
                reranker=await self.rerank_stage(),
                caches=self._search_caches,
                retrieval_log=await self._open_retrieval_log(),
            )
        return self._passage_search

    def _request_search(self) -> None:
        """Start to open all that a search needs, so that it loads at the same time."""
        for resource in self._resources.values():
            resource.request()

    async def is_database_reachable(self) -> bool:
        """Return whether the database answers a query."""
        database: Database | None = self.database.value
        if database is None:
            return False
        try:
            async with database.connection(autocommit=True) as connection:
                await connection.execute("SELECT 1")
        except SightlineError:
            return False
        return True

    async def vlm_state(self) -> Literal["ready", "unreachable", "unusable"] | None:
        """Return the state of the VLM endpoint, or None if none is configured.

        ``unusable`` means that it does not have the model, or rejects the API key.
        """
        if self.vlm is None:
            return None
        try:
            await self.vlm.health(seconds=_VLM_PROBE_SECONDS)
        except (ModelUnavailableError, ModelTimeoutError):
            return "unreachable"
        except ModelError:
            return "unusable"
        return "ready"

    async def _open_retrieval_log(self) -> RetrievalLog:
        database = await self.database.get()
        if self._retrieval_log is None:
            limits = LogLimits(retention_days=self._settings.log.retention_days)
            self._retrieval_log = RetrievalLog(database, limits, observer=self._metrics.search)
            self._retrieval_log.start()
            self._stack.push_async_callback(self._retrieval_log.close)
        return self._retrieval_log

    async def rerank_stage(self) -> RerankStage | None:
        """Return the configured reranking, or None. Raises ConfigurationError."""
        settings = self._settings.reranker
        check_reranker(settings.model, has_vlm=self.vlm is not None)
        model: RerankModel
        if self._cross_encoder is not None:
            model = await self._cross_encoder.get()
        elif settings.model == VLM_RERANKER and self.vlm is not None:
            model = VlmReranker(self.vlm)
        else:
            return None
        return RerankStage(model, timeout_seconds=settings.timeout_seconds)

    async def _query_encoder(self) -> TextEncoder:
        if self.passage_encoder is None:
            return await self.encoder.get()
        return (await self.passage_encoder.get()).queries

    def _add_model(self, key: str, name: str, load: Callable[[], C]) -> LazyResource[C]:
        return self._add(key, name, partial(open_in_thread, load))

    def _add(
        self, key: str, name: str, open_resource: Callable[[], AbstractAsyncContextManager[T]]
    ) -> LazyResource[T]:
        resource = LazyResource(
            name,
            open_resource,
            timeout_seconds=self._settings.startup_timeout_seconds,
            error_type=ModelUnavailableError,
            delay_seconds=self._delay_seconds,
        )
        self._resources[key] = resource
        return resource


def ingest_options(settings: Settings) -> IngestOptions:
    """Return the ingest options; raise ConfigurationError for an unknown time zone."""
    return IngestOptions(
        batch_size=settings.encoder.batch_size,
        max_pixels=settings.limits.max_image_pixels,
        **settings.ingest.model_dump(exclude={"ocr_models", "pdf_passwords"}),
        pdf_passwords=_pdf_passwords(settings),
    )


def _pdf_passwords(settings: Settings) -> tuple[str, ...]:
    return tuple(each.get_secret_value() for each in settings.ingest.pdf_passwords)


def create_image_decoder(settings: Settings) -> ImageDecoder:
    """Return a decoder for images of tool calls with two to four worker processes.

    At least two, because one principal may use half of them.
    """
    return ImageDecoder(
        max_pixels=settings.limits.max_image_pixels,
        memory_mib=settings.ingest.worker_memory_mib,
        timeout_seconds=_DECODE_TIMEOUT_SECONDS,
        workers=max(2, min(4, settings.ingest.workers or available_cores())),
        pdf_passwords=_pdf_passwords(settings),
    )


def allowed_urls(settings: Settings) -> UrlPolicy | None:
    """Return which URLs may be fetched, or None if none may."""
    if not settings.urls.allowed_hosts:
        return None
    return UrlPolicy(hosts=settings.urls.allowed_hosts, networks=settings.urls.allowed_networks)


def _create_vlm_client(settings: Settings, metrics: Metrics) -> VlmClient | None:
    endpoint = VlmEndpoint.from_settings(settings.vlm)
    if endpoint is None:
        return None
    # Imports httpx, for which the handshake must not wait.
    from sightline.server.models.vision_language.vlm_client import VlmClient

    return VlmClient(endpoint, observer=metrics.vision)
