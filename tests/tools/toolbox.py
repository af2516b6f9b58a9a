"""The real tools behind a real MCP client, with checks of every result."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Generic, TypeVar

import jsonschema
from mcp import Client
from mcp.types import CallToolResult, TextContent, Tool
from PIL import Image

from sightline.server.mcp_server.audit import Audit
from sightline.server.mcp_server.rate_limit import RateLimiter
from sightline.server.mcp_server.server import SightlineServer
from sightline.server.observability.metrics import Metrics
from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.decode.image_decoder import ImageDecoder
from sightline.storage.ingest.ingest_options import IngestOptions, UrlPolicy
from sightline.storage.interfaces import Detector, ImageEncoder
from sightline.storage.retrieval import ImageSearch, PassageSearch, RerankStage
from sightline.tools.registry import RESULTS, register_all
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.limits import Limits
from sightline.tools.vlm.vision_language_model import VisionLanguageModel
from tests.support.encoders import ColorHistogramEncoder
from tests.support.results import images_of, json_of

SIGNING_KEY = b"a key of the tests of the tools!"
_BASE64 = re.compile(r"[A-Za-z0-9+/]{200,}")

T = TypeVar("T")


@dataclass(frozen=True)
class ReadyProvider(Generic[T]):
    """A provider whose resource is loaded."""

    value: T

    async def get(self) -> T:
        return self.value


@dataclass(frozen=True)
class ToolEnvironment:
    """A database with its data folder, and the settings of the tools."""

    dsn: str
    data: Path
    encoder: ImageEncoder = field(default_factory=ColorHistogramEncoder)
    #: Folders whose files callers may name.
    roots: tuple[Path, ...] = ()
    #: Hosts from which callers may fetch.
    urls: UrlPolicy | None = None
    limits: Limits = field(default_factory=Limits)
    vlm: VisionLanguageModel | None = None
    detector: Detector | None = None
    reranker: RerankStage | None = None
    #: Folder with calibrations of models.
    calibrations: Path | None = None

    def replace(self, **changes: Any) -> ToolEnvironment:
        """Return a copy with some fields changed."""
        return replace(self, **changes)

    @asynccontextmanager
    async def serve(self, *, mode: str = "2026-07-28") -> AsyncIterator[ToolClient]:
        """Serve all tools to a client."""
        decoder = ImageDecoder(
            max_pixels=self.limits.max_image_pixels, memory_mib=4096, timeout_seconds=60, workers=1
        )
        database = await Database.open(self.dsn)
        async with AsyncExitStack() as open_:
            open_.push_async_callback(database.close)
            open_.push_async_callback(decoder.close)
            server = self._server(self._dependencies(database, decoder))
            client = await open_.enter_async_context(Client(server, mode=mode))
            tools = (await client.list_tools()).tools
            yield ToolClient(client, database, {tool.name: tool for tool in tools})

    def _dependencies(self, database: Database, decoder: ImageDecoder) -> Dependencies:
        encoder = self.encoder
        return Dependencies(
            database=ReadyProvider(database),
            blobs=BlobStore(self.data),
            encoder=ReadyProvider(encoder),
            passage_encoder=ReadyProvider(encoder),
            allowed_roots=self.roots,
            urls=self.urls,
            image_search=ImageSearch(
                database, encoder, encoder, signing_key=SIGNING_KEY, reranker=self.reranker
            ).search,
            passage_search=PassageSearch(database, encoder, signing_key=SIGNING_KEY).search,
            ingest_options=IngestOptions(workers=1),
            decoder=decoder,
            limits=self.limits,
            vlm=self.vlm,
            detector=None if self.detector is None else ReadyProvider(self.detector),
            calibrations=self.calibrations,
        )

    def _server(self, dependencies: Dependencies) -> SightlineServer:
        @asynccontextmanager
        async def lifespan(_: object) -> AsyncIterator[Dependencies]:
            yield dependencies

        server = SightlineServer(
            "test",
            metrics=Metrics(),
            audit=Audit(None),
            rate_limiter=RateLimiter(per_minute=0, burst=1),
            call_timeout_seconds=60,
            lifespan=lifespan,
            log_level="WARNING",
        )
        register_all(server)
        return server


class ToolClient:
    """Calls tools and checks the contract of every result."""

    def __init__(self, client: Client, database: Database, tools: dict[str, Tool]) -> None:
        self.client = client
        self.database = database
        self.tools = tools

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """Return the result of a successful call."""
        return (await self.call_with_images(tool, **arguments))[0]

    async def call_with_images(
        self, tool: str, **arguments: Any
    ) -> tuple[dict[str, Any], list[Image.Image]]:
        """Return the result and the images of a successful call."""
        result = await self.client.call_tool(tool, arguments)
        data = json_of(result)
        jsonschema.validate(data, RESULTS[tool].model_json_schema(mode="serialization"))
        assert _BASE64.search(json.dumps(data)) is None
        return data, images_of(result)

    async def call_error(self, tool: str, **arguments: Any) -> str:
        """Return the message of a failing call: one short text."""
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, result.structured_content
        assert result.structured_content is None
        text = text_of(result)
        assert "internal error" not in text
        assert len(text) < 1_200
        return text

    async def ids(self, collection: str = "") -> dict[str, str]:
        """Return the asset ids by source name."""
        async with self.database.connection() as connection:
            cursor = await connection.execute(
                "SELECT source.name, asset.id FROM asset JOIN source ON source.id = source_id "
                "JOIN collection ON collection.id = asset.collection_id "
                "WHERE %(name)s IN ('', collection.name)",
                {"name": collection},
            )
            return dict(await cursor.fetchall())


def text_of(result: CallToolResult) -> str:
    """Return the only text of a result."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


def open_image(data: bytes) -> Image.Image:
    """A whole image."""
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def data_url(data: bytes, mime_type: str = "image/png") -> str:
    """Return a data URL."""
    return f"data:{mime_type};base64,{base64.b64encode(data).decode('ascii')}"


def is_near_color(pixel: object, color: tuple[int, int, int], tolerance: int = 12) -> bool:
    """Whether a pixel is of a color, but for what JPEG does."""
    assert isinstance(pixel, tuple)
    return all(abs(a - b) <= tolerance for a, b in zip(pixel, color, strict=True))
