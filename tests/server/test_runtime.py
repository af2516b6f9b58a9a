"""Tests of the runtime: many concurrent searches."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

from sightline.server.config import load_settings
from sightline.server.observability.metrics import Metrics
from sightline.server.runtime import MAX_CONCURRENT_SEARCHES, Runtime
from sightline.storage.retrieval import ImageRequest, ImageResults, ImageSearch
from sightline.storage.retrieval.search_types import SearchReport, SearchResults


class SlowSearch:
    """A search that waits until the test releases it."""

    def __init__(self) -> None:
        self.started: list[str] = []
        self.release = asyncio.Semaphore(0)

    async def search(self, request: ImageRequest) -> ImageResults:
        self.started.append(request.query)
        await self.release.acquire()
        return SearchResults((), SearchReport(retrievers={}, timings_ms={}, notes=(request.query,)))


async def test_searches_above_the_limit_wait_in_order(tmp_path: Path) -> None:
    limit = MAX_CONCURRENT_SEARCHES
    queries = [str(number) for number in range(limit + 4)]
    runtime = Runtime(load_settings(data_dir=tmp_path), Metrics())
    search = SlowSearch()
    runtime._image_search = cast("ImageSearch", search)
    async with runtime._search_types:
        await runtime._search_types.get()
        tasks = [
            asyncio.create_task(runtime.search_images(ImageRequest(query=query)))
            for query in queries
        ]
        for _ in range(10):
            await asyncio.sleep(0)  # all tasks run as far as they can
        assert search.started == queries[:limit]
        tasks[limit].cancel()  # a cancelled search takes no slot
        for _ in queries:
            search.release.release()
        answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert search.started == [*queries[:limit], *queries[limit + 1 :]]
    notes = [answer.report.notes[0] for answer in answers if isinstance(answer, SearchResults)]
    assert notes == search.started
