"""What a running server holds: the database, the encoder, the searches. Opened in the background.

This is where the parts meet; everything else is handed what it needs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Self

from sightline.server.config import Settings
from sightline.server.database.provider import DatabaseProvider
from sightline.server.lazy_resource import Background, State, in_daemon_thread
from sightline.server.mcp_server.analytics_provider import AnalyticsProvider
from sightline.server.mcp_server.principal_cache import PrincipalCache
from sightline.server.models.image_text import image_text_encoder
from sightline.server.models.image_text.lazy_encoder import BackgroundEncoder
from sightline.server.models.ocr.rapid_ocr import load_reader
from sightline.server.models.text import passage_encoder
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.server.observability.metrics import Metrics
from sightline.server.search_services import Searches
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.errors import (
    DatabaseUnavailableError,
    ModelError,
    ModelUnavailableError,
    SightlineError,
)
from sightline.storage.ingest.decode.image_decoder import Decoder
from sightline.storage.ingest.discover.public_addresses import Allowed
from sightline.storage.ingest.ingest_options import IngestOptions, available_cores
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.limits import Limits
from sightline.tools.vlm.vision_language_model import ModelTimeoutError

if TYPE_CHECKING:
    from sightline.server.models.vision_language.vlm_client import VlmClient

#: An orchestrator that asks whether the server is ready waits about a second itself.
_VISION_LOOK_SECONDS = 0.8

#: Imports in other threads slow the first answers down, and nothing needs them so soon.
_HANDSHAKE_SECONDS = 0.5

#: An image that takes longer to decode costs its worker process.
_DECODE_TIMEOUT_SECONDS = 20.0


class Runtime:
    """One a server process, from ``async with`` to its end; needs a running event loop.

    ``wait_seconds`` is how long a call waits for what is still opening (a command that has nothing
    else to do gives ``math.inf``); unset, it is the setting. ``on_final`` is told when the database
    can never be used as things stand: its schema is another version's, or a setting is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        metrics: Metrics,
        *,
        wait_seconds: float | None = None,
        on_final: Callable[[Exception], None] | None = None,
    ) -> None:
        wait_seconds = settings.startup_timeout_seconds if wait_seconds is None else wait_seconds
        self._settings = settings
        self._databases = DatabaseProvider(settings)
        self.database = Background(
            "the database",
            self._databases.open,
            wait_seconds=wait_seconds,
            unavailable=DatabaseUnavailableError,
            retried=(DatabaseUnavailableError,),
            on_final=on_final,
            delay_seconds=_HANDSHAKE_SECONDS,
        )
        self.principal_cache = PrincipalCache(self.database)
        self.encoder = BackgroundEncoder(
            partial(image_text_encoder.load, settings.encoder, settings.data_dir, metrics.batch),
            name=settings.encoder.model,
            wait_seconds=wait_seconds,
            delay_seconds=_HANDSHAKE_SECONDS,
        )
        #: ``None`` where the encoder of pictures has passages too.
        self.passage_encoder: Background[passage_encoder.PassageEncoder] | None = None
        if settings.encoder.passage_model != passage_encoder.SAME_AS_IMAGES:
            load = partial(passage_encoder.load, settings.encoder, settings.data_dir, metrics.batch)
            self.passage_encoder = Background(
                f"the passage encoder {settings.encoder.passage_model!r}",
                partial(in_daemon_thread, load, discard=passage_encoder.PassageEncoder.close),
                wait_seconds=wait_seconds,
                unavailable=ModelUnavailableError,
                delay_seconds=_HANDSHAKE_SECONDS,
            )
        #: ``None`` where no endpoint is set.
        self.vision: VlmClient | None = _vision(settings, metrics)
        self._decoder = create_image_decoder(settings)
        self.searches = Searches(
            settings,
            metrics,
            database=self.database,
            encoder=self.encoder,
            passage_encoder=self.passage_encoder,
            vision=self.vision,
            wait_seconds=wait_seconds,
            delay_seconds=_HANDSHAKE_SECONDS,
        )

    async def __aenter__(self) -> Self:
        self.database.start()
        self.encoder.start()
        if self.passage_encoder is not None:
            self.passage_encoder.start()
        self.searches.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop what is still opening, close what is open. May be called twice."""
        await self.searches.close()
        await self._decoder.close()
        if self.vision is not None:
            await self.vision.close()
        await self.encoder.close()
        if self.passage_encoder is not None:
            await self.passage_encoder.close()
            if self.passage_encoder.value is not None:
                self.passage_encoder.value.close()
        await self.database.close()
        await self._databases.close()

    async def opened(self) -> None:
        """Return when every part is there, however long that takes."""
        for part in (self.database, self.encoder.loading):
            await part.opened.wait()
        await self.searches.opened()
        if self.passage_encoder is not None:
            await self.passage_encoder.opened.wait()

    def dependencies(self) -> Dependencies:
        """What the tools are given."""
        return Dependencies(
            database=self.database,
            objects=BlobStore(self._settings.data_dir),
            encoder=self.encoder,
            passage_encoder=self.passage_encoder or self.encoder,
            allowed_roots=self._settings.allowed_roots,
            urls=allowed_urls(self._settings),
            image_search=self.searches.images,
            passage_search=self.searches.passages,
            ingest_options=ingest_options(self._settings),
            decoder=self._decoder,
            text_reader=None if self._settings.ingest.ocr == "off" else load_reader(),
            vision=self.vision,
            questions=(
                AnalyticsProvider(self._settings, self.database)
                if self._settings.analytics.enabled
                else None
            ),
            limits=Limits(**dict(self._settings.limits)),
        )

    def states(self) -> dict[str, State]:
        """How far each part is, by its name."""
        states = {
            "database": self.database.state,
            "encoder": self.encoder.loading.state,
            **self.searches.states(),
        }
        if self.passage_encoder is not None:
            states["passage_encoder"] = self.passage_encoder.state
        return states

    async def reachable(self) -> bool:
        """Whether the database answers now."""
        database: Database | None = self.database.value
        if database is None:
            return False
        try:
            async with database.connection(autocommit=True) as connection:
                await connection.execute("SELECT 1")
        except SightlineError:
            return False
        return True

    async def vision_state(self) -> Literal["ready", "unreachable", "unusable"] | None:
        """Whether the model that answers questions is there now; ``None`` where none is set.

        Unusable: the endpoint answers, and has no such model, or refuses the key.
        """
        if self.vision is None:
            return None
        try:
            await self.vision.health(seconds=_VISION_LOOK_SECONDS)
        except (ModelUnavailableError, ModelTimeoutError):
            return "unreachable"
        except ModelError:
            return "unusable"
        return "ready"


def ingest_options(settings: Settings) -> IngestOptions:
    """Return the options of ingest runs; raises ConfigurationError for an unknown time zone."""
    return IngestOptions(
        batch_size=settings.encoder.batch_size,
        max_pixels=settings.limits.max_image_pixels,
        **dict(settings.ingest),
    )


def create_image_decoder(settings: Settings) -> Decoder:
    """Return a decoder for the images of tool calls, with at most four worker processes."""
    return Decoder(
        max_pixels=settings.limits.max_image_pixels,
        memory_mib=settings.ingest.worker_memory_mib,
        seconds=_DECODE_TIMEOUT_SECONDS,
        workers=min(4, settings.ingest.workers or available_cores()),
    )


def allowed_urls(settings: Settings) -> Allowed | None:
    """Return which URLs may be fetched, or None if none may."""
    if not settings.urls.allowed_hosts:
        return None
    return Allowed(hosts=settings.urls.allowed_hosts, networks=settings.urls.allowed_networks)


def _vision(settings: Settings, metrics: Metrics) -> VlmClient | None:
    endpoint = Endpoint.from_settings(settings)
    if endpoint is None:
        return None
    # httpx is imported only where it is used: the handshake need not wait for it.
    from sightline.server.models.vision_language.vlm_client import VlmClient

    return VlmClient(endpoint, observer=metrics.vision)
