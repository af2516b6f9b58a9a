"""Copies of a query picture are found first, whatever their vectors say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import numpy as np
import pytest
import pytest_asyncio
from PIL import Image, ImageEnhance, ImageOps

from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.isolation.caller import as_principal
from sightline.storage.picture_hashes import hash_picture, orientations
from sightline.storage.records.picture_pairs import store_pairs
from sightline.storage.retrieval.image_search import ImageSearch
from sightline.storage.retrieval.retrievers.copy_retriever import nearest_orientation
from sightline.storage.retrieval.search_types import ImageRequest, Selection
from tests.storage.test_picture_hashes import scene
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def add(corpus: Corpus, name: str, picture: Image.Image, collection: str = "album") -> None:
    """Add a picture with its hashes, as ingest does."""
    hashes = hash_picture(picture)
    assert hashes is not None
    await corpus.add(name, collection=collection, picture=picture)
    async with corpus.database.connection() as connection:
        await connection.execute(
            "UPDATE asset SET perceptual_hash = %s, symmetric_hash = %s WHERE id = %s",
            [hashes.perceptual, hashes.symmetric, id_of(name)],
        )
        await connection.execute(
            "INSERT INTO thumbnail (asset_id, jpeg, width, height, local_hashes) "
            "VALUES (%s, '', 1, 1, %s)",
            [id_of(name), hashes.local],
        )
        await store_pairs(connection, [id_of(name)])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def album(module_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    for seed in range(40):
        await add(corpus, f"scene{seed}", scene(seed))
    await add(corpus, "theirs", scene(7), collection="secret")
    await add(corpus, "twin", scene(9).resize((200, 150)))
    async with database.connection() as connection:
        await row_security.bind(connection, "bound", ["album"])
    yield database
    await database.close()


@pytest.fixture
def images(album: Database) -> ImageSearch:
    return ImageSearch(
        album, signing_key=b"k", image_encoder=ColorHistogramEncoder(), passage_encoder=None
    )


EDITS = {
    "gray": lambda image: image.convert("L").convert("RGB"),
    "dark": lambda image: ImageEnhance.Brightness(image).enhance(0.3),
    "small": lambda image: image.resize((90, 70)),
    "mirrored": ImageOps.mirror,
    "rotated": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "gray and rotated": lambda image: image.convert("L").convert("RGB").rotate(180),
    "cut": lambda image: image.resize((1024, 768)).crop((100, 80, 860, 650)),
}


@pytest.mark.parametrize("edit", EDITS)
async def test_the_original_of_an_edited_picture_is_first(images: ImageSearch, edit: str) -> None:
    for seed in (3, 11, 25):
        picture = EDITS[edit](scene(seed))
        results = await images.search(
            ImageRequest(image=picture, selection=Selection(collections=("album",)))
        )
        assert results.hits[0].asset.source == f"scene{seed}"
        assert not results.hits[0].weak


async def test_a_picture_of_the_collection_finds_its_copies(images: ImageSearch) -> None:
    results = await images.search(ImageRequest(image=id_of("scene9"), limit=3))
    assert results.hits[0].asset.source == "twin"
    assert id_of("scene9") in results.hits[0].duplicates
    assert len({hit.score for hit in results.hits[1:]} | {1.0}) > 1


async def test_other_requests_do_not_prefer_copies(images: ImageSearch) -> None:
    gray = EDITS["gray"](scene(3))
    liked = await images.search(ImageRequest(like=(gray,), limit=40))
    mixed = await images.search(ImageRequest(image=gray, like=(gray,), limit=40))
    assert liked.hits[0].score < 1 or liked.hits[0].asset.source != "scene3"
    assert [hit.asset.id for hit in mixed.hits] == [hit.asset.id for hit in liked.hits]


async def test_copies_of_others_are_not_found(images: ImageSearch) -> None:
    with as_principal("bound"):
        found = await images.search(ImageRequest(image=scene(7), limit=50))
        listed = await images.search(ImageRequest(limit=50))
    assert found.hits[0].asset.source == "scene7"
    for hit in (*found.hits, *listed.hits):
        assert hit.asset.source != "theirs"
        assert id_of("theirs") not in hit.duplicates


async def test_hits_name_their_near_duplicates(images: ImageSearch) -> None:
    listed = await images.search(ImageRequest(limit=50))
    duplicates = {hit.asset.source: hit.duplicates for hit in listed.hits if hit.duplicates}
    assert duplicates == {
        "scene7": (id_of("theirs"),),
        "theirs": (id_of("scene7"),),
        "scene9": (id_of("twin"),),
        "twin": (id_of("scene9"),),
    }
    narrow = await images.search(
        ImageRequest(selection=Selection(filters={"source": "scene9"}), limit=50)
    )
    assert narrow.hits[0].duplicates == ()


async def test_postgres_measures_the_distance_of_hashes_as_python(album: Database) -> None:
    rng = np.random.default_rng(1)
    pairs = rng.integers(-(2**63), 2**63, (200, 2), dtype=np.int64).tolist()
    pairs += [(own, orientations(own)[place % 8] ^ 5) for place, (own, _) in enumerate(pairs[:16])]
    async with album.connection() as connection:
        cursor = await connection.execute(
            "SELECT sightline.hash_distance(one, other) "
            "FROM unnest(%s::bigint[], %s::bigint[]) WITH ORDINALITY AS t (one, other, place) "
            "ORDER BY place",
            [[one for one, _ in pairs], [other for _, other in pairs]],
        )
        found = [bits for (bits,) in await cursor.fetchall()]
    assert found == [nearest_orientation(one, orientations(other))[1] for one, other in pairs]
    assert set(found[-16:]) == {2}
