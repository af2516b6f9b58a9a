"""Opens and closes the database or all tool dependencies for a CLI command."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sightline.server.config import Settings

if TYPE_CHECKING:
    from sightline.storage.db.pool import Database
    from sightline.storage.ingest.discover.input_paths import Given
    from sightline.storage.ingest.progress import Progress, Summary
    from sightline.tools.shared.dependencies import Dependencies


@asynccontextmanager
async def open_database(settings: Settings) -> AsyncIterator[Database]:
    """Open the configured database, and close it after the block."""
    from sightline.server.database.provider import DatabaseProvider

    provider = DatabaseProvider(settings)
    try:
        yield await provider.open()
    finally:
        await provider.close()


@asynccontextmanager
async def open_dependencies(settings: Settings) -> AsyncIterator[Dependencies]:
    """Open the dependencies of the tools, and wait without limit for models to load."""
    from sightline.server.observability.metrics import Metrics
    from sightline.server.runtime import Runtime

    async with Runtime(settings, Metrics(), wait_seconds=math.inf) as runtime:
        yield runtime.dependencies()


async def ingest(
    deps: Dependencies,
    paths: Sequence[str | Path | Given],
    collection: str,
    *,
    progress: Callable[[Progress], None] = lambda _: None,
    settings: Mapping[str, Any] | None = None,
) -> Summary:
    """Ingest paths into a collection; ``settings`` are those of the collection."""
    from sightline.storage.ingest import pipeline

    passages = deps.passage_encoder or deps.encoder
    return await pipeline.ingest(
        await deps.database.get(),
        deps.objects,
        await deps.encoder.get(),
        paths,
        collection=collection,
        options=deps.ingest_options,
        progress=progress,
        passage_encoder=await passages.get(),
        reader=deps.text_reader,
        settings=settings,
    )
