"""What the commands need that serve nobody: all that the settings name, opened and closed."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from sightline.server.config.settings import Settings
from sightline.server.observability.metrics import Metrics
from sightline.server.runtime import Runtime
from sightline.storage.ingest import pipeline
from sightline.storage.ingest.discover.input_paths import Given
from sightline.storage.ingest.progress import Progress, Summary
from sightline.tools.shared.dependencies import Dependencies


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Dependencies]:
    """What the tools are given, however long its weights take: nobody else waits for them."""
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
    """Ingest with what was opened; ``settings`` are the collection's."""
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
