from pathlib import Path

import pytest

from sightline.storage.ingest.discover.discovered_file import Found
from sightline.storage.ingest.ingest_items import Work
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.store.vector_indexes import IndexCare, repair
from sightline.storage.records import embedding_spaces
from sightline.storage.records.embedding_spaces import Space
from tests.storage.ingest.conftest import Bench
from tests.support.pictures import fill


async def asset_space(bench: Bench) -> Space:
    async with bench.database.connection() as connection:
        return await embedding_spaces.get_or_create(connection, bench.encoder.identity, "asset")


async def indexed(bench: Bench) -> bool:
    space = await asset_space(bench)
    async with bench.database.connection() as connection:
        return await embedding_spaces.has_index(connection, space)


async def test_a_large_load_builds_the_index_after_it(bench: Bench, album: Path) -> None:
    fill(album, 30)
    summary = await bench.ingest("album", bulk_rows=10, batch_size=8)
    assert summary.added == 30
    assert await indexed(bench)
    assert [progress.stage for progress in bench.progress][-2:] == ["index", "done"]


@pytest.mark.parametrize(
    ("there", "to_come", "dropped"), [(0, 30, True), (30, 5, False), (30, 12, True), (0, 9, False)]
)
async def test_the_index_is_dropped_for_many_new_rows_and_a_large_share(
    bench: Bench, album: Path, there: int, to_come: int, dropped: bool
) -> None:
    fill(album, there)
    await bench.ingest("album")
    options = IngestOptions(bulk_rows=10, bulk_fraction=0.3)
    care = IndexCare(bench.database, await asset_space(bench), options, lambda _: 1)
    await care.start()
    care.notice([Work(Found("x"), b"", "file:/x")])
    await care.expect(to_come)
    assert await indexed(bench) == (not dropped)
    await care.finish(0)
    assert await indexed(bench)


@pytest.mark.parametrize("mended_by", ["the next ingest", "the start of a server"])
async def test_an_index_that_a_crashed_load_left_missing_is_built(
    bench: Bench, album: Path, mended_by: str
) -> None:
    fill(album, 3)
    await bench.ingest("album")
    async with bench.database.connection() as connection:
        await embedding_spaces.drop_index(connection, await asset_space(bench))
    assert not await indexed(bench)
    if mended_by == "the next ingest":
        await bench.ingest("album")
    else:
        await repair(bench.database)
    assert await indexed(bench)
