"""A re-encoding that is killed half-way continues, while searches run without an error."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

from sightline.storage.errors import SpaceMismatchError
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.retrieval import ImageResults, ImageSearch
from sightline.storage.retrieval.search_types import ImageRequest
from tests.storage.ingest.conftest import Bench
from tests.support.encoders import BrightnessEncoder, ColorHistogramEncoder
from tests.support.sample_images import fill

ROOT = Path(__file__).parents[4]
OLD, NEW = ColorHistogramEncoder(), BrightnessEncoder()
#: The encoder of a collection, and how many vectors of it the collection has, in one snapshot.
USED = """
    SELECT s.encoder, (
        SELECT count(*) FROM sightline.embedding AS e
        WHERE e.embedding_space_id = s.id AND e.collection_id = u.collection_id)
    FROM sightline.collection_embedding_space AS u
    JOIN sightline.embedding_space AS s ON s.id = u.embedding_space_id
    WHERE u.level = 'asset'
"""


class Searcher:
    """Searches with both encoders until it is stopped."""

    def __init__(self, bench: Bench, asset: str) -> None:
        self.bench = bench
        self.asset = asset
        self.states: list[tuple[str, int]] = []
        self.found: dict[str, list[list[str]]] = {"old": [], "new": []}
        self.refused = 0

    async def search(self, encoder: ColorHistogramEncoder) -> ImageResults:
        search = ImageSearch(self.bench.database, encoder, encoder, signing_key=b"k")
        return await search.search(ImageRequest(image=self.asset, limit=50))

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self.states += await self.bench.rows(USED)
            self.found["old"].append(ids(await self.search(OLD)))
            try:
                self.found["new"].append(ids(await self.search(NEW)))
            except SpaceMismatchError:
                self.refused += 1
                assert not self.found["new"], "the new vectors were used, and then not"
            await asyncio.sleep(0)


def ids(results: ImageResults) -> list[str]:
    return [hit.asset.id for hit in results.hits]


async def reencode(dsn: str, data: Path, *, kill_at: float | None) -> tuple[int, str]:
    """Re-encode in a process; return the first count that it reported, and its last line."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.reencode_process", dsn, str(data), "album"),
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdout is not None
    first, line = -1, ""
    try:
        async for raw in process.stdout:
            line = raw.decode().strip()
            if line[:1].isdigit():
                done, total = map(int, line.split())
                first = done if first < 0 else first
                if kill_at is not None and done >= kill_at * total:
                    break
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return first, line


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("images", [40, pytest.param(2000, marks=pytest.mark.slow)])
async def test_a_killed_re_encoding_continues_while_searches_run(
    bench: Bench, album: Path, database_dsn: str, images: int
) -> None:
    for path in fill(album, images)[::10]:
        path.with_suffix(".txt").write_text("yard of the house")
    await bench.ingest("album")
    ((asset,),) = await bench.rows("SELECT min(id) FROM sightline.asset")
    searcher, stop = Searcher(bench, asset), asyncio.Event()
    expected = ids(await searcher.search(OLD))
    data = bench.blobs.data_dir
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(searcher.run(stop))
        try:
            first, _ = await reencode(database_dsn, data, kill_at=0.5)
            assert first == 0
            assert (await bench.rows(USED)) == [(OLD.identity.name, images)]
            first, last = await reencode(database_dsn, data, kill_at=None)
            assert first >= images // 2
            assert last == "switched"
        finally:
            stop.set()
    searcher.states += await bench.rows(USED)
    searcher.found["new"].append(ids(await searcher.search(NEW)))
    old, new = (OLD.identity.name, images), (NEW.identity.name, images)
    switched = searcher.states.index(new)
    assert searcher.states == [old] * switched + [new] * (len(searcher.states) - switched)
    assert searcher.refused
    assert all(each == expected for each in searcher.found["old"])
    assert all(each == searcher.found["new"][0] for each in searcher.found["new"])
    assert await check(bench.database, bench.blobs) == []
