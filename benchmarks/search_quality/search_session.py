"""A server with temporary data, searched through its MCP tools as an agent does."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mcp import Client
from mcp.types import TextContent

from benchmarks.search_quality.ocr_cache import CachedOcrEngine
from benchmarks.search_quality.outcomes import Outcome, Query, Reply
from sightline.server.app import create_app
from sightline.server.cli.library.ingest import ingest
from sightline.server.config import Settings
from sightline.storage.interfaces import ImageEncoder
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_results import read_result

SearchTool = Literal["search_text", "search_images"]
SEARCH_TOOLS: tuple[SearchTool, ...] = ("search_text", "search_images")


@dataclass(frozen=True, slots=True)
class SearchSession:
    """A running server with its client."""

    client: Client
    deps: Dependencies

    async def ingest(self, folder: Path, collection: str, *, ocr_cache: Path | None = None) -> None:
        """Ingest a folder; the cache keeps the results of OCR for the next run."""
        deps, engine = self.deps, self.deps.ocr_engine
        if ocr_cache is not None and engine is not None:
            deps = dataclasses.replace(deps, ocr_engine=CachedOcrEngine(engine, ocr_cache))
        summary = await ingest(deps, [folder], collection)
        for issue in summary.failures.values():
            print(f"Failed to ingest: {'; '.join(map(str, issue.examples))}", file=sys.stderr)

    async def search(self, tool: SearchTool, query: str, collection: str) -> Reply:
        """Search with the default arguments of the tool. Raises RuntimeError if it fails."""
        arguments = {"query": query, "collection": collection}
        result = await self.client.call_tool(tool, arguments)
        if result.is_error:
            texts = [block.text for block in result.content if isinstance(block, TextContent)]
            raise RuntimeError(f"{tool} failed for {query!r}: {' '.join(texts)}")
        values = read_result(result)
        return Reply(
            hits=tuple((Path(hit["source"]).stem, bool(hit.get("weak"))) for hit in values["hits"]),
            notes=tuple(values.get("notes") or ()),
        )

    async def run(
        self, tool: SearchTool, queries: Iterable[Query], collection: str
    ) -> list[Outcome]:
        """Return the outcome of each query."""
        return [
            Outcome(query, await self.search(tool, query.text, collection)) for query in queries
        ]


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A provider of an encoder that needs no loading."""

    encoder: ImageEncoder

    async def get(self) -> ImageEncoder:
        return self.encoder


@asynccontextmanager
async def open_session(
    settings: Settings, encoder: ImageEncoder | None = None
) -> AsyncIterator[SearchSession]:
    """Start a server and connect a client in this process.

    ``encoder`` takes the place of the configured one.
    """
    app = create_app(settings)
    async with Client(app) as client:
        deps, runtime = app.tool_dependencies, app.runtime
        if deps is None or runtime is None:
            raise RuntimeError("The server has stopped.")
        if encoder is not None:
            loaded = _Loaded(encoder)
            runtime.encoder = loaded  # type: ignore[assignment]
            deps = dataclasses.replace(deps, encoder=loaded, passage_encoder=loaded)
        yield SearchSession(client, deps)
