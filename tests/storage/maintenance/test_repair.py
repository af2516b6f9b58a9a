"""Each invariant broken by hand is found, mended, and not found again."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.pipeline import ingest
from sightline.storage.interfaces import EncoderIdentity, ImageEncoder
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.maintenance.repair import Repair
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest
from tests.support.encoders import ColorHistogramEncoder
from tests.support.media import pdf
from tests.support.sample_images import fill, jpeg

ENCODER = ColorHistogramEncoder()


class AnotherEncoder(ColorHistogramEncoder):
    """The same vectors under another name."""

    @property
    def identity(self) -> EncoderIdentity:
        return replace(super().identity, name="another")


class Stock:
    """A small collection, and all that is found and stored in it."""

    def __init__(self, database: Database, folder: Path, data: Path) -> None:
        self.database = database
        self.folder = folder
        self.data = data
        self.objects = BlobStore(data)

    async def ingest(self) -> None:
        await ingest(
            self.database,
            self.objects,
            ENCODER,
            [self.folder],
            collection="album",
            options=IngestOptions(workers=1),
            passage_encoder=ENCODER,
        )

    async def findings(self) -> set[str]:
        return {finding.code for finding in await check(self.database, self.objects)}

    async def repair(self, encoder: ImageEncoder = ENCODER) -> dict[str, int]:
        async def get() -> ImageEncoder:
            return encoder

        repair = Repair(self.database, self.objects, get, IngestOptions(workers=1))
        return {mended.code: mended.count for mended in await repair.run()}

    async def found(self) -> tuple[Any, ...]:
        """What searches of every kind find, with all scores."""
        images = ImageSearch(self.database, ENCODER, ENCODER, signing_key=b"k")
        passages = PassageSearch(self.database, ENCODER, signing_key=b"k")
        seen = await images.search(ImageRequest(query="yard", limit=20))
        read = await passages.search(PassageRequest(query="picture yard chapter", limit=20))
        return (
            [(hit.asset.id, round(hit.score, 6)) for hit in seen.hits],
            [(hit.passage.text, round(hit.score, 6)) for hit in read.hits],
        )

    async def rows(self, query: str) -> list[tuple[object, ...]]:
        async with self.database.connection() as connection:
            return await (await connection.execute(query)).fetchall()


def things(found: tuple[Any, ...]) -> list[list[str]]:
    """What was found, whatever the order: rows that were written anew end a tie differently."""
    return [sorted(thing for thing, _ in part) for part in found]


@pytest.fixture
async def stock(database: Database, tmp_path: Path) -> Stock:
    folder = tmp_path / "folder"
    for path in fill(folder, 4):
        path.with_suffix(".txt").write_text(f"picture {path.stem} of the yard")
    (folder / "book.pdf").write_bytes(
        pdf(*(lambda page, n=n: page.drawString(60, 300, f"chapter {n}") for n in range(2)))
    )
    with zipfile.ZipFile(folder / "more.zip", "w") as archive:
        archive.writestr("a.jpg", jpeg(50))
    stock = Stock(database, folder, tmp_path / "data")
    await stock.ingest()
    assert await stock.findings() == set()
    return stock


@pytest.mark.parametrize(
    ("damage", "mended"),
    [
        (
            b"""
            DELETE FROM embedding
            WHERE passage_id IS NULL AND asset_id IN (SELECT id FROM asset WHERE kind = 'image')
            """,
            {"asset_without_vector or _thumbnail": 5},
        ),
        (
            b"DELETE FROM thumbnail WHERE asset_id IN (SELECT id FROM asset WHERE kind = 'image')",
            {"asset_without_vector or _thumbnail": 5},
        ),
        (b"DELETE FROM embedding WHERE passage_id IS NOT NULL", {"passage_without_vector": 6}),
        (b"DELETE FROM posting", {"passage_without_postings": 12}),
        (b"DROP INDEX embedding_1_hnsw", {"space_without_index": 1}),
        (b"ALTER TABLE embedding DETACH PARTITION embedding_1", {"space_without_partition": 1}),
        (
            b"""
            ALTER TABLE posting DISABLE TRIGGER ALL;
            INSERT INTO posting (term, passage_id, frequency) VALUES ('stray', 999999, 1);
            """,
            {"posting_without_passage": 1},
        ),
        (
            b"""
            WITH other AS (INSERT INTO collection (name) VALUES ('other') RETURNING id),
            spaces AS (
                INSERT INTO collection_embedding_space (collection_id, level, embedding_space_id)
                SELECT other.id, level, embedding_space_id FROM other, collection_embedding_space
            )
            UPDATE embedding SET collection_id = (SELECT id FROM other)
            """,
            {"vector_of_another_collection": 13},
        ),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
async def test_damage_is_repaired_and_search_results_are_the_same(
    stock: Stock, damage: bytes, mended: dict[str, int]
) -> None:
    before = await stock.found()
    async with stock.database.connection() as connection:
        await connection.execute(damage)
    assert await stock.findings() != set()
    assert await stock.repair() == mended
    assert await stock.findings() == set()
    assert await stock.found() == before
    assert await stock.repair() == {}


async def test_a_dropped_partition_is_rebuilt_with_its_vectors(
    stock: Stock,
) -> None:
    before = await stock.found()
    async with stock.database.connection() as connection:
        await connection.execute("DROP TABLE embedding_1")
    done = await stock.repair()
    assert done["space_without_partition"] == 1
    assert done["asset_without_vector or _thumbnail"] == 7
    assert await stock.findings() == set()
    # Pages are read again from the pictures that were kept of them.
    assert [hit for hit, _ in (await stock.found())[0]] == [hit for hit, _ in before[0]]


async def test_unused_vectors_are_dropped(stock: Stock) -> None:
    async with stock.database.connection() as connection:
        await connection.execute("DELETE FROM collection_embedding_space WHERE level = 'passage'")
    assert await stock.repair() == {"vector_in_an_unused_space": 6, "unused_space": 1}
    assert await stock.findings() == set()


async def test_vectors_of_another_encoder_are_not_rebuilt(stock: Stock) -> None:
    async with stock.database.connection() as connection:
        await connection.execute("DELETE FROM embedding WHERE passage_id IS NULL")
    assert await stock.repair(AnotherEncoder()) == {}
    assert await stock.findings() == {"asset_without_vector"}


async def test_the_next_ingest_repairs_what_needs_the_original_files(stock: Stock) -> None:
    before = things(await stock.found())
    ids = await stock.rows("SELECT id FROM asset ORDER BY id")
    stock.objects.discard(list(stock.objects.locations()))
    async with stock.database.connection() as connection:
        await connection.execute("DELETE FROM passage WHERE text LIKE 'chapter%'")
    assert await stock.findings() == {"blob_missing"}
    assert await stock.repair() == {"blob_missing": 1}
    await stock.ingest()
    assert await stock.findings() == set()
    assert await stock.rows("SELECT id FROM asset ORDER BY id") == ids
    assert things(await stock.found()) == before


async def test_annotated_pages_are_not_dropped(stock: Stock) -> None:
    stock.objects.discard(list(stock.objects.locations()))
    async with stock.database.connection() as connection:
        await connection.execute(
            "INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin) "
            "SELECT id, 'a', 0, 0, 1, 1, 'person' FROM asset WHERE page = 1"
        )
    assert await stock.repair() == {}
    assert await stock.findings() == {"blob_missing"}
    assert await stock.rows("SELECT count(*) FROM annotation") == [(1,)]


async def test_an_empty_source_is_ingested_again(stock: Stock) -> None:
    before = things(await stock.found())
    async with stock.database.connection() as connection:
        await connection.execute(
            # Of a file: the picture in the archive would leave its blob behind.
            """
            DELETE FROM asset
            WHERE id = (SELECT min(id) FROM asset WHERE kind = 'image' AND location LIKE 'file:%')
            """
        )
    assert await stock.findings() == {"source_without_content"}
    assert await stock.repair() == {"source_without_content": 1}
    await stock.ingest()
    assert await stock.findings() == set()
    assert things(await stock.found()) == before


async def test_unreferenced_blobs_and_old_partial_files_are_deleted(stock: Stock) -> None:
    kept = set(stock.objects.locations())
    stray = stock.objects.put(b"left behind by a kill")
    for name, age in (("old.tmp", 7200), ("young.tmp", 0)):
        unfinished = next((stock.data / "objects").iterdir()) / name
        unfinished.write_bytes(b"half")
        written = unfinished.stat().st_mtime - age
        os.utime(unfinished, (written, written))
    assert await stock.findings() == {"blob_unreferenced", "partial_file"}
    assert await stock.repair() == {"blob_unreferenced": 1, "partial_file": 1}
    assert await stock.findings() == set()
    assert set(stock.objects.locations()) == kept
    assert stray not in kept
    assert [path.name for path in (stock.data / "objects").glob("??/*.tmp")] == ["young.tmp"]
