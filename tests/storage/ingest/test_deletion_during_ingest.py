"""A collection or a source is deleted while an ingest writes to the collection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from sightline.storage.errors import StorageError
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.ingest.progress import IngestProgress, IngestSummary
from sightline.storage.interfaces import Pixels, Vectors
from sightline.storage.records.deletion import delete_collection, delete_sources
from tests.storage.ingest.conftest import Bench
from tests.support.encoders import ColorHistogramEncoder
from tests.support.sample_images import fill

_IMAGES = 24
_OPTIONS = IngestOptions(workers=1, batch_size=4, write_rows=4)


class PausingEncoder(ColorHistogramEncoder):
    """Waits after the first batch until it may go on."""

    def __init__(self) -> None:
        self.may_go_on = asyncio.Event()
        self._is_first = True

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        if not self._is_first:
            await self.may_go_on.wait()
        self._is_first = False
        return await super().encode_images(pixels)


async def start(bench: Bench, folder: Path, encoder: PausingEncoder) -> asyncio.Task[IngestSummary]:
    """Start an ingest and return when its first files are committed."""
    committed = asyncio.Event()

    def watch(progress: IngestProgress) -> None:
        if progress.added:
            committed.set()

    task = asyncio.create_task(
        ingest(
            bench.database,
            bench.blobs,
            encoder,
            [folder],
            collection="album",
            options=_OPTIONS,
            progress=watch,
            passage_encoder=ColorHistogramEncoder(),
        )
    )
    waiting = asyncio.create_task(committed.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    assert committed.is_set()
    return task


async def test_an_ingest_writes_nothing_to_a_deleted_collection(bench: Bench, album: Path) -> None:
    fill(album, _IMAGES)
    encoder = PausingEncoder()
    task = await start(bench, album, encoder)
    deleted = await delete_collection(bench.database, bench.blobs, "album")
    assert 0 < deleted.assets < _IMAGES
    encoder.may_go_on.set()
    with pytest.raises(StorageError, match="'album' was deleted in the meantime"):
        await task
    assert set((await bench.counts()).values()) == {0}
    assert await bench.rows("SELECT FROM sightline.collection") == []
    assert (await bench.ingest(album)).added == _IMAGES


async def test_an_ingest_continues_after_one_of_its_sources_was_deleted(
    bench: Bench, album: Path
) -> None:
    fill(album, _IMAGES)
    encoder = PausingEncoder()
    task = await start(bench, album, encoder)
    ((name,),) = await bench.rows("SELECT name FROM sightline.source LIMIT 1")
    assert (await delete_sources(bench.database, bench.blobs, "album", names=[name])).assets == 1
    encoder.may_go_on.set()
    assert (await task).added == _IMAGES
    counts = await bench.counts()
    assert counts["source"] == counts["asset"] == counts["embedding"] == _IMAGES - 1
