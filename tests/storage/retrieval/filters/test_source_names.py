"""A filter accepts the shortened names of sources that results show."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.isolation.caller import as_principal
from sightline.storage.retrieval import ImageSearch
from sightline.storage.retrieval.search_types import ImageRequest, Selection
from tests.support.corpus import Corpus
from tests.support.encoders import ColorHistogramEncoder

pytestmark = pytest.mark.asyncio(loop_scope="module")
NAMES = ["/photos/2023/trip/beach.jpg", "/photos/2024/trip/beach.jpg", "/photos/2024/trip/hut.jpg"]
BEACH_2023, BEACH_2024, HUT = NAMES


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def album(module_dsn: str) -> AsyncIterator[Corpus]:
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    for name in [*NAMES, "hut.png", "old/hut.png", "100%_.jpg"]:
        await corpus.add(name)
    await corpus.add("/secret/lake.jpg", collection="secret")
    async with database.connection() as connection:
        await row_security.bind(connection, "bound", ["album"])
    yield corpus
    await database.close()


@pytest.fixture(scope="module")
def images(album: Corpus) -> ImageSearch:
    return ImageSearch(album.database, album.encoder, album.encoder, signing_key=b"k")


async def find(images: ImageSearch, filters: dict[str, object]) -> tuple[set[str], tuple[str, ...]]:
    results = await images.search(ImageRequest(selection=Selection(filters=filters), limit=50))
    return {hit.asset.source for hit in results.hits}, results.report.notes


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"source": "hut.jpg"}, {HUT}),
        ({"source": "…/trip/hut.jpg"}, {HUT}),
        ({"source": "…/2023/trip/beach.jpg"}, {BEACH_2023}),
        ({"source": "2024/trip/beach.jpg"}, {BEACH_2024}),
        ({"source": BEACH_2024}, {BEACH_2024}),
        ({"source": "hut.png"}, {"hut.png"}),  # a whole name goes before an end
        ({"source": ["hut.jpg", "…/2023/trip/beach.jpg"]}, {HUT, BEACH_2023}),
        ({"or": [{"source": "hut.jpg"}, {"source": {"eq": "old/hut.png"}}]}, {HUT, "old/hut.png"}),
        (
            {"source": {"ne": "hut.jpg"}, "file_name": {"contains": "hut"}},
            {"hut.png", "old/hut.png"},
        ),
        ({"not": {"source": {"nin": ["hut.jpg"]}}}, {HUT}),
    ],
)
async def test_the_end_of_one_source_is_its_name(
    images: ImageSearch, filters: dict[str, object], names: set[str]
) -> None:
    assert await find(images, filters) == (names, ())


async def test_the_end_of_several_sources_is_explained(images: ImageSearch) -> None:
    for name in ("…/trip/beach.jpg", "beach.jpg"):
        found, notes = await find(images, {"source": name})
        assert found == set()
        assert notes[0] == (
            f"'{name}' is the end of several sources: '{BEACH_2023}', '{BEACH_2024}'. "
            "Filter 'source' with a whole name, or 'file_name' for all of them."
        )


@pytest.mark.parametrize("name", ["ut.jpg", "trip", "%_.jpg", "…/", "…", "/"])
async def test_an_end_is_whole_parts_of_a_path(images: ImageSearch, name: str) -> None:
    found, notes = await find(images, {"source": name})
    assert found == set()
    assert notes[0].startswith("No image matches 'source'")


async def test_a_bound_principal_learns_no_names_of_others(images: ImageSearch) -> None:
    with as_principal("bound"):
        found, notes = await find(images, {"source": "lake.jpg"})
        assert found == set()
        assert "secret" not in "".join(notes)
    assert (await find(images, {"source": "lake.jpg"}))[0] == {"/secret/lake.jpg"}
