"""Listings: what a selection matches, without a query."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime

import pytest
import pytest_asyncio

from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.retrieval import ImageSearch, PassageSearch
from sightline.storage.retrieval.filters.listing import MAX_LISTED
from sightline.storage.retrieval.request_validation import encode_cursor, request_digest
from sightline.storage.retrieval.search_types import ImageRequest, PassageRequest, Selection
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder

pytestmark = pytest.mark.asyncio(loop_scope="module")
BOX = (0.1, 0.1, 0.5, 0.2)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shelf(module_dsn: str) -> AsyncIterator[Corpus]:
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    moments = [datetime(2009, 5, 1, 8, tzinfo=UTC), datetime(2024, 5, 1, 8, tzinfo=UTC), None]
    for number, moment in enumerate(moments):
        await corpus.add(f"photo{number}", captured_at=moment, metadata={"shop": "Aldi"})
    for page in (2, 1):
        await corpus.add(f"scan{page}", kind="page", page=page, lines=[(f"line {page}", BOX)])
    await corpus.add(
        "abroad", collection="other", captured_local=datetime.fromisoformat("2010-01-01T09:00")
    )
    await corpus.add_text("manual.md", ["first", "second", "third"], collection="texts")
    yield corpus
    await database.close()


@pytest.fixture(scope="module")
def images(shelf: Corpus) -> ImageSearch:
    return ImageSearch(shelf.database, shelf.encoder, shelf.encoder, signing_key=b"k")


@pytest.fixture(scope="module")
def passages(shelf: Corpus) -> PassageSearch:
    return PassageSearch(shelf.database, shelf.encoder, signing_key=b"k")


async def names(images: ImageSearch, selection: Selection) -> tuple[list[str], int | None]:
    results = await images.search(ImageRequest(selection=selection, limit=100))
    return [hit.asset.source for hit in results.hits], results.report.total


async def test_images_are_listed_newest_first_and_then_by_source(
    shelf: Corpus, images: ImageSearch
) -> None:
    every = ["photo1", "abroad", "photo0", "photo2", "scan1", "scan2"]
    assert await names(images, Selection()) == (every, 6)
    assert await names(images, Selection(collections=("other",))) == (["abroad"], 1)
    assert await names(images, Selection(filters={"shop": "Aldi", "kind": "image"})) == (
        ["photo1", "photo0", "photo2"],
        3,
    )
    assert await names(images, Selection(captured_before="2010-01-01")) == (["photo0"], 1)
    assert await names(images, Selection(filters={"kind": "page"})) == (["scan1", "scan2"], 2)


async def test_a_listed_image_has_no_score_and_is_not_weak(
    shelf: Corpus, images: ImageSearch
) -> None:
    results = await images.search(ImageRequest(limit=1, visual_weight=0.5, diversity=0.5))
    (hit,) = results.hits
    assert (hit.score, hit.weak, dict(hit.retrievers)) == (0.0, False, {})
    assert results.report.notes == ()
    assert results.report.timings_ms.keys() == {"scope", "list", "hydrate", "total"}
    assert (await images.search(ImageRequest(query="photo"))).report.total is None


async def test_pages_of_a_listing_have_no_repeated_images(
    shelf: Corpus, images: ImageSearch
) -> None:
    seen: list[str] = []
    request = ImageRequest(limit=4)
    page = await images.search(request)
    seen += [hit.asset.source for hit in page.hits]
    cursor = page.report.next_cursor
    page = await images.search(replace(request, cursor=cursor))
    seen += [hit.asset.source for hit in page.hits]
    assert page.report.next_cursor is None
    assert page.report.total == len(seen) == len(set(seen)) == 6
    other = replace(request, cursor=cursor, selection=Selection(collections=("album",)))
    with pytest.raises(InvalidArgumentError, match="was not made for this query"):
        await images.search(other)


@pytest.mark.asyncio(loop_scope="function")
async def test_a_listing_reaches_beyond_the_results_of_a_search_and_ends_at_its_limit(
    database: Database, encoder: ColorHistogramEncoder
) -> None:
    await Corpus(database, encoder).add("seed", collection="many")
    async with database.connection() as connection:
        await connection.execute(
            "INSERT INTO asset (id, collection_id, source_id, ordinal, kind, frame_seconds, "
            "location, sha256, width, height) SELECT lpad(n::text, 12, '0'), collection_id, "
            "source_id, n, 'frame', n, location, sha256, 8, 8 FROM asset, "
            "generate_series(1, 10_100) n"
        )
    images = ImageSearch(database, encoder, encoder, signing_key=b"k")
    request = ImageRequest(limit=100, selection=Selection(collections=("many",)))
    first = await images.search(request)
    assert first.report.total == 10_101
    second = await images.search(replace(request, cursor=first.report.next_cursor))
    seen = [hit.asset.id for hit in (*first.hits, *second.hits)]
    assert seen == [id_of("seed"), *(f"{n:012}" for n in range(1, 200))]
    near_end = encode_cursor(b"k", MAX_LISTED - 60, request_digest(request))
    last = await images.search(replace(request, cursor=near_end))
    assert (len(last.hits), last.report.total, last.report.next_cursor) == (60, 10_101, None)
    assert last.report.notes == (
        "A listing ends after 10,000. Narrow the selection to see others.",
    )


async def test_passages_are_listed_in_the_order_of_their_document(
    shelf: Corpus, passages: PassageSearch
) -> None:
    async def texts(selection: Selection) -> tuple[list[str], int | None]:
        results = await passages.search(PassageRequest(selection=selection, limit=50))
        return [hit.passage.text for hit in results.hits], results.report.total

    chunks = ["first", "second", "third"]
    assert await texts(Selection(collections=("texts",))) == (chunks, 3)
    assert await texts(Selection(kinds=("ocr",))) == (["line 1", "line 2"], 2)
    assert await texts(Selection(filters={"text": {"contains": "ir"}})) == (["first", "third"], 2)
    assert await texts(Selection()) == ([*chunks, "line 1", "line 2"], 5)


async def test_a_listing_does_not_need_the_encoder_of_the_collection(shelf: Corpus) -> None:
    class Another(ColorHistogramEncoder):
        @property
        def identity(self):  # type: ignore[no-untyped-def]
            return replace(super().identity, name="another")

    other = ImageSearch(shelf.database, Another(), None, signing_key=b"k")
    assert (await names(other, Selection(collections=("other",))))[0] == ["abroad"]


async def test_unknown_names_are_refused_in_a_listing(shelf: Corpus, images: ImageSearch) -> None:
    with pytest.raises(UnknownNameError, match="Unknown filter key 'colour'"):
        await names(images, Selection(filters={"colour": "red"}))
    with pytest.raises(UnknownNameError, match="Unknown collection 'nowhere'"):
        await names(images, Selection(collections=("nowhere",)))
