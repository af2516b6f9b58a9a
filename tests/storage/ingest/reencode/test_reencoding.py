"""A collection gets vectors of another encoder while searches go on."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from sightline.storage.errors import (
    ConfigurationError,
    InvalidArgumentError,
    SpaceMismatchError,
    StorageError,
)
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.reencode.reencoding import (
    ReencodeProgress,
    ReencodeSummary,
    reencode,
)
from sightline.storage.ingest.reencode.space_switch import drop, switch_back
from sightline.storage.interfaces import ImageEncoder
from sightline.storage.maintenance.integrity_check import check
from sightline.storage.records import collections, encoder_reliability
from sightline.storage.records.collections import Collection
from sightline.storage.records.deletion import delete_sources
from sightline.storage.retrieval import ImageResults, ImageSearch, PassageSearch
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest, Selection
from tests.storage.ingest.conftest import Bench
from tests.support.encoders import BrightnessEncoder, ColorHistogramEncoder
from tests.support.media import pdf
from tests.support.sample_images import fill

OLD, NEW = ColorHistogramEncoder(), BrightnessEncoder()
IMAGES = 12


class Stock:
    """A collection of pictures, one page and passages, and what is done with it."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.bench = bench
        self.folder = folder

    async def collection(self, name: str = "album") -> Collection:
        async with self.bench.database.connection() as connection:
            return await collections.get(connection, name)

    async def reencode(self, encoder: ImageEncoder = NEW, **options: object) -> ReencodeSummary:
        return await reencode(
            self.bench.database,
            self.bench.blobs,
            encoder,
            "album",
            passage_encoder=encoder,
            options=self.options(),
            **options,  # type: ignore[arg-type]
        )

    @staticmethod
    def options(batch_size: int = 4) -> IngestOptions:
        return IngestOptions(workers=1, batch_size=batch_size)

    async def search(self, encoder: ImageEncoder, *names: str, picture: int = 3) -> ImageResults:
        search = ImageSearch(self.bench.database, encoder, encoder, signing_key=b"k")
        with Image.open(sorted(self.folder.glob("*.jpg"))[picture]) as image:
            image.load()
        selection = Selection(collections=names or None)
        return await search.search(ImageRequest(image=image, selection=selection, limit=50))

    async def vectors(self) -> dict[str, int]:
        """The number of vectors by encoder and level."""
        return {
            f"{encoder} {level}": number
            for encoder, level, number in await self.bench.rows(
                """
                SELECT s.encoder, s.level, count(e.embedding_space_id)
                FROM sightline.embedding_space AS s
                LEFT JOIN sightline.embedding AS e ON e.embedding_space_id = s.id
                GROUP BY s.encoder, s.level ORDER BY 1, 2
                """
            )
        }

    async def used(self) -> dict[str, str]:
        return dict(
            await self.bench.rows(
                """
                SELECT u.level, s.encoder FROM sightline.collection_embedding_space AS u
                JOIN sightline.embedding_space AS s ON s.id = u.embedding_space_id
                JOIN sightline.collection AS c ON c.id = u.collection_id WHERE c.name = 'album'
                """
            )
        )

    async def findings(self) -> set[str]:
        return {each.code for each in await check(self.bench.database, self.bench.blobs)}


@pytest.fixture
async def stock(bench: Bench, album: Path) -> Stock:
    for path in fill(album, IMAGES)[::3]:
        path.with_suffix(".txt").write_text(f"yard of the house {path.stem}")
    (album / "number.txt").write_text("4711 0815")
    (album / "page.pdf").write_bytes(pdf(lambda page: page.drawString(60, 300, "chapter one")))
    stock = Stock(bench, album)
    await bench.ingest("album", settings={"tiles": True})
    return stock


def found(results: ImageResults) -> list[str]:
    return [hit.asset.id for hit in results.hits]


async def test_all_levels_are_encoded_and_switched_and_both_encoders_search(stock: Stock) -> None:
    before = await stock.vectors()
    old = await stock.search(OLD)
    with pytest.raises(SpaceMismatchError):
        await stock.search(NEW)
    summary = await stock.reencode()
    assert summary.switched
    assert {each.level for each in summary.changes} == {"asset", "region", "passage"}
    assert await stock.used() == dict.fromkeys(("asset", "region", "passage"), NEW.identity.name)
    vectors = await stock.vectors()
    for level in ("asset", "region"):
        made = vectors[f"{NEW.identity.name} {level}"]
        assert made == before[f"{OLD.identity.name} {level}"] > IMAGES
    assert (await stock.search(NEW)).report.notes == ()
    assert found(await stock.search(NEW))[0] == found(old)[0]
    # A server that still has the old encoder goes on, and says so.
    again = await stock.search(OLD)
    assert found(again) == found(old)
    assert "re-encoded with another encoder" in again.report.notes[0]
    assert await stock.findings() == set()
    assert (await stock.reencode()).changes == ()
    album = await stock.collection()
    async with stock.bench.database.connection() as connection:
        measured = await encoder_reliability.load(connection, NEW.identity, [album.id])
    assert {kind for _, kind in measured.by_kind} == {"image", "page"}


async def test_words_outside_the_new_vocabulary_get_no_vector_and_are_no_finding(
    stock: Stock,
) -> None:
    await stock.reencode()
    query = "SELECT text FROM sightline.passage WHERE outside_vocabulary"
    assert await stock.bench.rows(query) == [("4711 0815",)]
    search = PassageSearch(stock.bench.database, NEW, signing_key=b"k")
    hits = (await search.search(PassageRequest(query="chapter one"))).hits
    assert hits[0].passage.text.strip() == "chapter one"
    await switch_back(stock.bench.database, await stock.collection())
    assert await stock.bench.rows(query) == []
    assert await stock.findings() == set()


async def test_an_interrupted_run_continues_and_the_old_vectors_are_searched_until_the_switch(
    stock: Stock,
) -> None:
    class StopError(Exception):
        pass

    def stop(progress: ReencodeProgress) -> None:
        if progress.done >= progress.total // 3:
            raise StopError

    with pytest.raises(StopError):
        await stock.reencode(progress=stop)
    half = await stock.vectors()
    assert 0 < half[f"{NEW.identity.name} asset"] < half[f"{OLD.identity.name} asset"]
    assert await stock.used() == dict.fromkeys(("asset", "region", "passage"), OLD.identity.name)
    assert (await stock.search(OLD)).report.notes == ()
    with pytest.raises(SpaceMismatchError):
        await stock.search(NEW)
    assert await stock.findings() == set()  # unfinished vectors are no fault
    reports: list[ReencodeProgress] = []
    summary = await stock.reencode(progress=reports.append)
    assert summary.switched
    assert reports[0].done == sum(n for name, n in half.items() if NEW.identity.name in name)
    total = sum(n for name, n in (await stock.vectors()).items() if NEW.identity.name in name)
    assert summary.vectors == total - reports[0].done


async def test_what_an_ingest_adds_and_a_user_deletes_meanwhile_is_in_the_new_space(
    stock: Stock,
) -> None:
    added = stock.folder / "late"
    events = iter(["ingest", "delete"])

    class Encoder(BrightnessEncoder):
        """Changes the collection while it is re-encoded."""

        async def encode_images(self, pixels):  # type: ignore[no-untyped-def]
            event = next(events, "")
            if event == "ingest":
                fill(added, 3, start=100)
                (added / "note.txt").write_text("a late note")
                await stock.bench.ingest(added)
            elif event == "delete":
                database, blobs = stock.bench.database, stock.bench.blobs
                await delete_sources(database, blobs, "album", names=["album/page.pdf"])
            return await super().encode_images(pixels)

    assert (await stock.reencode(Encoder())).switched
    assert await stock.findings() == set()
    ((images, vectors),) = await stock.bench.rows(
        """
        SELECT (SELECT count(*) FROM sightline.asset), count(*)
        FROM sightline.embedding AS e
        JOIN sightline.embedding_space AS s ON s.id = e.embedding_space_id
        WHERE s.encoder = %s AND s.level = 'asset'
        """,
        NEW.identity.name,
    )
    assert images == vectors >= IMAGES


async def test_an_ingest_that_runs_across_the_switch_stops_instead_of_mixing(
    stock: Stock,
) -> None:
    events = iter(["switch"])

    class Encoder(ColorHistogramEncoder):
        async def encode_images(self, pixels):  # type: ignore[no-untyped-def]
            if next(events, ""):
                await stock.reencode()
            return await super().encode_images(pixels)

    late = stock.folder / "late"
    fill(late, 2, start=100)
    before = await stock.vectors()
    with pytest.raises(StorageError, match=r"re-encoded with test-brightness"):
        await stock.bench.ingest(late, encoder=Encoder())
    after = await stock.vectors()
    for name, number in before.items():
        assert after[name] == number
    assert await stock.findings() == set()
    with pytest.raises(SpaceMismatchError, match="sightline reencode"):
        await stock.bench.ingest(late)


async def test_switching_back_needs_vectors_of_all_that_was_added_since(stock: Stock) -> None:
    database = stock.bench.database
    album = await stock.collection()
    with pytest.raises(InvalidArgumentError, match="keeps no old vectors"):
        await switch_back(database, album)
    await stock.reencode()
    old = found(await stock.search(OLD))
    changes = await switch_back(database, album)
    assert {each.after for each in changes} == {OLD.identity}
    assert found(await stock.search(OLD)) == old
    await switch_back(database, album)  # forward again
    assert set((await stock.used()).values()) == {NEW.identity.name}
    late = stock.folder / "late"
    fill(late, 2, start=100)
    (late / "note.txt").write_text("a late note")
    stock.bench.encoder = NEW
    await stock.bench.ingest(late)
    with pytest.raises(InvalidArgumentError, match="2 images and 1 passage came"):
        await switch_back(database, album)
    summary = await stock.reencode(OLD)
    assert summary.switched
    assert set((await stock.used()).values()) == {OLD.identity.name}
    assert await stock.findings() == set()


async def test_old_vectors_are_dropped_with_their_table_when_nobody_else_uses_it(
    stock: Stock,
) -> None:
    await stock.reencode()
    album = await stock.collection()
    assert await drop(stock.bench.database, album, "previous") == [OLD.identity]
    assert set(await stock.vectors()) == {
        f"{NEW.identity.name} {level}" for level in ("asset", "region", "passage")
    }
    assert await stock.findings() == set()
    with pytest.raises(SpaceMismatchError):
        await stock.search(OLD)
    with pytest.raises(InvalidArgumentError, match="has no old vectors"):
        await drop(stock.bench.database, album, "previous")


async def test_vectors_of_others_in_the_same_space_stay_and_are_not_mixed(stock: Stock) -> None:
    """Collection ``other`` uses the old space; ``album`` keeps vectors in it."""
    other = stock.folder.parent / "other"
    fill(other, 4)
    await stock.bench.ingest(other, collection="other", settings={"tiles": True})
    own = set(found(await stock.search(OLD, "other")))
    await stock.reencode()
    assert set(found(await stock.search(OLD, "other"))) == own
    await drop(stock.bench.database, await stock.collection(), "previous")
    assert set(found(await stock.search(OLD, "other"))) == own
    assert (await stock.vectors())[f"{OLD.identity.name} asset"] == len(own) == 4
    assert await stock.findings() == set()


async def test_an_unfinished_run_is_continued_or_canceled(stock: Stock) -> None:
    class Third(BrightnessEncoder):
        """Fails at its first batch of pictures."""

        @property
        def identity(self):  # type: ignore[no-untyped-def]
            return type(super().identity)("third", "c" * 16, "c" * 16, 16)

        async def encode_images(self, pixels):  # type: ignore[no-untyped-def]
            raise ConfigurationError("no memory")

    from sightline.storage.errors import ModelError

    with pytest.raises(ModelError, match="no memory"):
        await stock.reencode(Third())
    for encoder in (NEW, OLD):
        with pytest.raises(InvalidArgumentError, match=r"with third .* is unfinished.*--cancel"):
            await stock.reencode(encoder)
    await drop(stock.bench.database, await stock.collection(), "next")
    assert not any("third" in name for name in await stock.vectors())
    assert (await stock.reencode()).switched
    with pytest.raises(InvalidArgumentError, match=r"keeps its previous vectors.*--drop-old"):
        await stock.reencode(Third())
    assert not any("third" in name for name in await stock.vectors())


async def test_pictures_that_are_gone_prevent_the_switch_unless_allowed(stock: Stock) -> None:
    (first, *_) = sorted(stock.folder.glob("*.jpg"))
    first.unlink()
    summary = await stock.reencode()
    assert not summary.switched
    assert list(summary.unreadable) == [f"album/{first.name}"]
    assert set((await stock.used()).values()) == {OLD.identity.name}
    summary = await stock.reencode(allow_missing=True)
    assert summary.switched
    assert list(summary.unreadable) == [f"album/{first.name}"]
    assert await stock.findings() == {"asset_without_vector", "file_missing"}


async def test_too_little_disk_space_stops_before_anything_is_made(stock: Stock) -> None:
    with pytest.raises(ConfigurationError, match=r"need about \d+ MiB, and 0 MiB"):
        await stock.reencode(free_bytes=1000)
    assert not any(NEW.identity.name in name for name in await stock.vectors())


async def test_tiles_that_are_turned_off_meanwhile_are_left_out(stock: Stock) -> None:
    events = iter(["off"])

    class Encoder(BrightnessEncoder):
        async def encode_images(self, pixels):  # type: ignore[no-untyped-def]
            if next(events, ""):
                await stock.bench.ingest("album", settings={"tiles": False})
            return await super().encode_images(pixels)

    assert (await stock.reencode(Encoder())).switched
    assert await stock.used() == dict.fromkeys(("asset", "passage"), NEW.identity.name)
    assert await stock.findings() <= {"unused_space"}
