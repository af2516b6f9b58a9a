"""Groups of near-duplicates over a whole selection."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from PIL import Image

from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.errors import InvalidArgumentError, UnknownNameError
from sightline.storage.isolation.caller import as_principal
from sightline.storage.retrieval.duplicates import DuplicateGroups, find_duplicates
from sightline.storage.retrieval.search_types import Selection
from tests.support.corpus import Corpus, id_of
from tests.support.encoders import ColorHistogramEncoder

pytestmark = pytest.mark.asyncio(loop_scope="module")
FAR = 0x0F0F_0F0F_0F0F_0F0F
NAMES = ("small", "large", "copy", "edited", "other", "other2", "blue", "green", "none", "none2")


def plain(color: str, edge: int = 32) -> Image.Image:
    return Image.new("RGB", (edge, edge), color)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def album(module_dsn: str) -> AsyncIterator[Database]:
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    await corpus.add("small", picture=plain("#d02020"), perceptual_hash=0b11)
    await corpus.add("large", picture=plain("#d02020", 64), perceptual_hash=0b1)
    await corpus.add("copy", picture=plain("#d02020"), perceptual_hash=0b11)
    # 6 bits from the large one, and a near vector.
    await corpus.add("edited", picture=plain("#c82424", 16), perceptual_hash=0b11_1110)
    await corpus.add("other", picture=plain("#20c040", 40), perceptual_hash=FAR, metadata={"x": 1})
    await corpus.add("other2", picture=plain("#20c040"), perceptual_hash=FAR ^ 1)
    # 8 bits apart, with different vectors.
    await corpus.add("blue", picture=plain("#2030d0"), perceptual_hash=-1)
    await corpus.add("green", picture=plain("#20c040"), perceptual_hash=-256)
    await corpus.add("none", picture=plain("#ffffff"))
    await corpus.add("none2", picture=plain("#ffffff"))
    await corpus.add("theirs", collection="secret", picture=plain("#d02020"), perceptual_hash=0b1)
    async with database.connection() as connection:
        digest = hashlib.sha256(b"small").digest()
        await connection.execute(
            "UPDATE asset SET sha256 = %s WHERE id = %s", [digest, id_of("copy")]
        )
        await row_security.bind(connection, "bound", ["album"])
        await row_security.bind(connection, "thief", ["secret"])
    yield database
    await database.close()


def named(found: DuplicateGroups) -> list[list[str]]:
    names = {id_of(name): name for name in (*NAMES, "theirs")}
    return [[names[asset.id] for asset in group.assets] for group in found.groups]


async def test_near_duplicates_are_grouped_with_the_largest_picture_first(album: Database) -> None:
    found = await find_duplicates(album, Selection(collections=("album",)))
    red, green = named(found)
    assert red[0] == "large"
    assert set(red) == {"large", "small", "copy", "edited"}
    assert green == ["other", "other2"]
    assert [group.size for group in found.groups] == [4, 2]
    assert (found.total_groups, found.redundant, found.compared) == (2, 4, 10)
    assert (found.next_offset, found.notes) == (None, ())
    distances = {asset.id: asset.distance for asset in found.groups[0].assets}
    assert distances[id_of("large")] == 0
    edited = distances[id_of("edited")]
    assert edited is not None
    assert 0 < edited < 0.03


async def test_identical_bytes_have_distance_0(album: Database) -> None:
    selection = Selection(filters={"source": ["small", "copy", "large"], "width": 32})
    found = await find_duplicates(album, selection)
    (group,) = found.groups
    assert [(asset.distance, asset.is_identical) for asset in group.assets] == [(0.0, True)] * 2


async def test_groups_are_paged_and_filters_restrict_them(album: Database) -> None:
    album_only = Selection(collections=("album",))
    first = await find_duplicates(album, album_only, limit=1)
    assert (len(first.groups), first.total_groups, first.next_offset) == (1, 2, 1)
    second = await find_duplicates(album, album_only, limit=1, offset=1)
    assert named(second) == [["other", "other2"]]
    assert second.next_offset is None
    only = await find_duplicates(album, Selection(filters={"x": 1}))
    assert (only.groups, only.compared) == ((), 1)


async def test_duplicates_are_found_across_collections(album: Database) -> None:
    found = await find_duplicates(album, Selection())
    assert "theirs" in named(found)[0]
    assert found.groups[0].size == 5


async def test_a_bound_principal_sees_only_its_groups(album: Database) -> None:
    with as_principal("bound"):
        found = await find_duplicates(album, Selection())
        assert (found.groups[0].size, found.compared) == (4, 10)
        with pytest.raises(UnknownNameError, match="Unknown collection 'secret'"):
            await find_duplicates(album, Selection(collections=("secret",)))
    with as_principal("thief"):
        found = await find_duplicates(album, Selection())
        assert (found.groups, found.compared) == ((), 1)


async def test_a_large_group_shows_its_first_assets(album: Database) -> None:
    async with album.connection() as connection:
        await connection.execute(
            "INSERT INTO asset (id, collection_id, source_id, ordinal, kind, location, sha256, "
            "width, height, perceptual_hash) SELECT lpad(n::text, 12, '0'), collection_id, "
            "source_id, n, 'frame', location, sha256, 8, 8, 77 FROM asset, "
            "generate_series(1, 300) n WHERE id = %s",
            [id_of("none")],
        )
    try:
        found = await find_duplicates(album, Selection(filters={"kind": "frame"}))
        (group,) = found.groups
        assert (group.size, len(group.assets), found.redundant) == (300, 20, 299)
        assert group.assets[0].id == "000000000001"
    finally:
        async with album.connection() as connection:
            await connection.execute("DELETE FROM asset WHERE kind = 'frame'")


@pytest.mark.parametrize(("limit", "offset"), [(0, 0), (101, 0), (5, -1)])
async def test_an_invalid_page_is_refused(album: Database, limit: int, offset: int) -> None:
    with pytest.raises(InvalidArgumentError, match=r"(limit|offset) is "):
        await find_duplicates(album, Selection(), limit=limit, offset=offset)


async def test_an_empty_selection_has_no_groups(album: Database) -> None:
    found = await find_duplicates(album, Selection(filters={"kind": "page"}))
    assert found == DuplicateGroups(groups=(), total_groups=0, redundant=0, compared=0)


FORM = "Harbour Cafe 12 Quay Street invoice {} date 2024-{} table {} total {} cash change thank you"


async def test_documents_are_near_duplicates_only_with_the_same_text(module_dsn: str) -> None:
    """Receipts of one shop look alike; OCR reads another scan of one a little differently."""
    database = await Database.open(module_dsn)
    corpus = Corpus(database, ColorHistogramEncoder())
    texts = {
        "receipt": FORM.format("88123", "0105", "17733", "4.5012"),
        "scan": FORM.format("88123", "0105", "17733", "4.5O12").replace("thank you", "thankyou"),
        "next": FORM.format("88124", "0107", "17912", "9.7530"),
        "contract": "the party of the first part agrees to pay the second in full within ten days",
        "letter": "dear members we are glad to invite all of you to our summer garden meeting soon",
        "blank": "",
    }
    for name, text in texts.items():
        await corpus.add(
            name,
            collection="scans",
            picture=plain("#f0f0f0"),
            lines=[(text, (0.1, 0.1, 0.9, 0.9))] if text else [],
            perceptual_hash=0b1111,
            kind="page",
            page=1,
        )
    async with database.connection() as connection:
        await connection.execute("UPDATE source SET ocr_engine = 'auto: test'")
    found = await find_duplicates(database, Selection(collections=("scans",)))
    names = {id_of(name): name for name in texts}
    groups = [{names[asset.id] for asset in group.assets} for group in found.groups]
    assert groups == [{"receipt", "scan"}]
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT asset_id, other_asset_id FROM analytics.duplicates(0.05, NULL, 'scans')"
        )
        pairs = [{*pair} for pair in await cursor.fetchall()]
    assert [pair for pair in pairs if pair <= names.keys()] == [{id_of("receipt"), id_of("scan")}]
    await database.close()
