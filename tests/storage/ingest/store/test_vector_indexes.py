from pathlib import Path

import pytest

from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.store.vector_indexes import (
    VectorIndexMaintainer,
    build_missing_indexes,
)
from sightline.storage.records import embedding_spaces
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from tests.storage.ingest.conftest import Bench
from tests.support.sample_images import fill


async def asset_space(bench: Bench) -> EmbeddingSpace:
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
    ("existing", "expected", "dropped"),
    [(0, 30, True), (30, 5, False), (30, 12, True), (0, 9, False)],
)
async def test_the_index_is_dropped_for_many_new_rows_and_a_large_share(
    bench: Bench, album: Path, existing: int, expected: int, dropped: bool
) -> None:
    fill(album, existing)
    await bench.ingest("album")
    options = IngestOptions(bulk_rows=10, bulk_fraction=0.3)
    maintainer = VectorIndexMaintainer(bench.database, await asset_space(bench), options)
    await maintainer.start()
    maintainer.add_expected(1)
    await maintainer.drop_if_large(expected)
    assert await indexed(bench) == (not dropped)
    await maintainer.finish(0)
    assert await indexed(bench)


@pytest.mark.parametrize("rebuilt_by", ["the next ingest", "the start of a server"])
async def test_an_index_missing_after_a_crashed_load_is_built(
    bench: Bench, album: Path, rebuilt_by: str
) -> None:
    fill(album, 3)
    await bench.ingest("album")
    async with bench.database.connection() as connection:
        await embedding_spaces.drop_index(connection, await asset_space(bench))
    assert not await indexed(bench)
    if rebuilt_by == "the next ingest":
        await bench.ingest("album")
    else:
        await build_missing_indexes(bench.database)
    assert await indexed(bench)
