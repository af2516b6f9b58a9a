"""Many searches at once: as many go on as the server is set to, and the first to come first."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sightline.server.config import load_settings
from sightline.server.observability.metrics import Metrics
from sightline.server.runtime import Runtime
from sightline.storage.retrieval.search_types import (
    ImageRequest,
    ImageResults,
    SearchReport,
    SearchResults,
)


class Slow:
    """A search that goes on until it is let end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.go = asyncio.Semaphore(0)

    async def search(self, request: ImageRequest) -> ImageResults:
        self.begun.append(request.query)
        await self.go.acquire()
        return SearchResults((), SearchReport(retrievers={}, timings_ms={}, notes=(request.query,)))


async def test_searches_beyond_those_that_may_go_on_wait_for_their_turn(tmp_path: Path) -> None:
    settings = load_settings(data_dir=tmp_path, concurrent_searches=2)
    searches = Runtime(settings, Metrics()).searches
    slow = Slow()
    searches._search_images = slow.search
    waiting = [asyncio.create_task(searches.images(ImageRequest(query=q))) for q in "abcdef"]
    await asyncio.sleep(0)  # all of them get as far as they may
    assert slow.begun == ["a", "b"]
    waiting[2].cancel()  # whoever leaves takes nobody's turn
    for _ in range(5):
        slow.go.release()
    answers = await asyncio.gather(*waiting, return_exceptions=True)
    assert slow.begun == ["a", "b", "d", "e", "f"]
    assert [answer.report.notes[0] for answer in answers if not isinstance(answer, BaseException)] == slow.begun
