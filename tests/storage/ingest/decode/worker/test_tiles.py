"""Tiles: cut at two scales, encoded at ingest, found with their boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from sightline.storage.errors import ConfigurationError, SpaceMismatchError
from sightline.storage.ingest.decode.worker.image import TILE_SCHEME, tile_boxes
from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors
from sightline.storage.maintenance import integrity_check
from sightline.storage.records import collections
from sightline.storage.records.deletion import delete_assets
from sightline.storage.retrieval.image_search import ImageSearch
from sightline.storage.retrieval.search_types import ImageHit, ImageRequest, Selection
from tests.storage.ingest.conftest import Bench
from tests.support.encoders import ColorHistogramEncoder
from tests.support.media import BLUE, GREEN, RED, film, pdf

TILES = (
    "SELECT r.asset_id, r.ordinal, r.x0, r.y0, r.x1, r.y1 FROM sightline.region AS r "
    "JOIN sightline.embedding AS e ON e.region_id = r.id AND e.asset_id = r.asset_id "
    "JOIN sightline.embedding_space AS s ON s.id = e.embedding_space_id AND s.level = 'region' "
    "WHERE r.kind = 'tile' ORDER BY r.asset_id, r.ordinal"
)
ON = {"tiles": True}


def patch(path: Path, place: tuple[int, int], color: tuple[int, int, int]) -> Path:
    """Write a gray image of 240 by 240 pixels with one patch of a color."""
    image = Image.new("RGB", (240, 240), (127, 127, 127))
    image.paste(color, (place[0], place[1], place[0] + 90, place[1] + 90))
    image.save(path)
    return path


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ((600, 600), 13),
        ((800, 600), 18),
        ((600, 800), 18),
        ((1920, 1080), 26),
        ((6000, 300), 2 * 6 + 3 * 9),
        ((150, 150), 4),  # a third of it would be too small
        ((100, 100), 0),
        ((1, 4000), 0),
    ],
)
def test_tiles_overlap_and_cover_the_whole_image(size: tuple[int, int], count: int) -> None:
    found = tile_boxes(*size)
    assert len(found) == count
    covered = np.zeros((100, 100), int)
    for x0, y0, x1, y1 in found:
        assert 0 <= x0 < x1 <= 1
        assert 0 <= y0 < y1 <= 1
        covered[round(y0 * 100) : round(y1 * 100), round(x0 * 100) : round(x1 * 100)] += 1
    if count:
        assert covered.min() >= (1 if count == 4 else 2)  # once at each scale
        assert covered.max() > 2


async def find(bench: Bench, picture: Image.Image) -> list[ImageHit]:
    search = ImageSearch(bench.database, bench.encoder, bench.encoder, signing_key=b"a key")
    results = await search.search(ImageRequest(image=picture, selection=Selection()))
    return list(results.hits)


async def test_a_part_of_an_image_is_found_with_its_box(bench: Bench, album: Path) -> None:
    patch(album / "corner.png", (150, 150), RED)
    patch(album / "middle.png", (75, 75), GREEN)
    await bench.ingest("album", settings=ON)
    hit, *others = await find(bench, Image.new("RGB", (90, 90), RED))
    assert hit.asset.source == "album/corner.png"
    assert {"image_to_region", "image_to_image"} <= set(hit.retrievers)
    assert hit.retrievers["image_to_region"].rank == 1
    assert hit.region is not None
    assert hit.region.kind == "tile"
    x0, y0, x1, y1 = hit.region.box
    assert min(x0, y0) > 0.5  # the corner
    assert (x1, y1) == (1, 1)
    assert [other.asset.source for other in others] == ["album/middle.png"]


async def test_pages_and_frames_get_tiles_too(bench: Bench, album: Path) -> None:
    def page(canvas: Canvas) -> None:
        canvas.drawString(60, 300, "Mounting holes")

    (album / "a.pdf").write_bytes(pdf(page, page))
    film(album / "b.mp4", [(RED, 1), (BLUE, 1)], size=(320, 240))
    summary = await bench.ingest("album", settings=ON)
    assert summary.failed == 0
    counted = await bench.rows(
        "SELECT a.kind, a.ordinal, count(*) FROM sightline.region AS r "
        "JOIN sightline.asset AS a ON a.id = r.asset_id GROUP BY 1, 2 ORDER BY 1, 2"
    )
    assert [row[0] for row in counted] == ["frame", "frame", "page", "page"]
    assert {row[2] for row in counted} == {18}
    assert len(await bench.rows(TILES)) == 4 * 18


async def test_a_second_ingest_changes_no_tiles(bench: Bench, album: Path) -> None:
    patch(album / "a.png", (150, 150), RED)
    await bench.ingest("album", settings=ON)
    before = await bench.rows(TILES)
    assert len(before) == 13
    again = await bench.ingest("album")  # the collection remembers
    assert (again.unchanged, await bench.rows(TILES)) == (1, before)
    (album / "a.txt").write_text("a red corner")
    assert (await bench.ingest("album")).updated == 1
    assert await bench.rows(TILES) == before


async def test_existing_images_get_tiles_later_and_keep_their_vectors(
    bench: Bench, album: Path
) -> None:
    patch(album / "a.png", (150, 150), RED)
    (album / "b.pdf").write_bytes(pdf(lambda c: c.drawString(60, 300, "Mounting holes")))
    film(album / "c.mp4", [(RED, 1), (BLUE, 1)], size=(320, 240))
    await bench.ingest("album")
    pictures = "SELECT id, created_at FROM sightline.asset ORDER BY id"
    before = await bench.rows(pictures)
    assert await bench.rows(TILES) == []
    summary = await bench.ingest("album", settings=ON)
    assert (summary.updated, summary.images) == (3, 0)
    assert await bench.rows(pictures) == before
    assert len({row[0] for row in await bench.rows(TILES)}) == 4
    assert await integrity_check.check(bench.database, bench.blobs) == []
    assert (await bench.ingest("album")).unchanged == 3


async def test_tiles_are_deleted_when_the_setting_is_turned_off(bench: Bench, album: Path) -> None:
    patch(album / "a.png", (150, 150), RED)
    await bench.ingest("album", settings=ON)
    await bench.ingest("album", settings={"tiles": False})
    assert await bench.rows(TILES) == []
    assert await bench.rows("SELECT FROM sightline.embedding WHERE region_id IS NOT NULL") == []
    (hit,) = await find(bench, Image.new("RGB", (90, 90), RED))
    assert (hit.region, list(hit.retrievers)) == (None, ["image_to_image"])
    assert (await bench.ingest("album", settings=ON)).updated == 1
    assert len(await bench.rows(TILES)) == 13


async def test_tiles_are_deleted_with_their_image(bench: Bench, album: Path) -> None:
    patch(album / "a.png", (150, 150), RED)
    patch(album / "b.png", (10, 10), RED)
    await bench.ingest("album", settings=ON)
    first = (await bench.rows(TILES))[0][0]
    await delete_assets(bench.database, bench.blobs, [first])
    assert {row[0] for row in await bench.rows(TILES)} == {
        row[0] for row in await bench.rows("SELECT id FROM sightline.asset")
    }
    patch(album / "b.png", (150, 10), BLUE)  # other bytes: what was cut of the old ones goes
    await bench.ingest("album")
    assert len(await bench.rows(TILES)) == 2 * 13
    assert await integrity_check.check(bench.database, bench.blobs) == []


async def test_the_integrity_check_reports_missing_tiles(bench: Bench, album: Path) -> None:
    patch(album / "a.png", (150, 150), RED)
    patch(album / "b.png", (10, 10), RED)
    await bench.ingest("album", settings=ON)
    async with bench.database.connection() as connection:
        await connection.execute("UPDATE source SET tile_scheme = NULL WHERE name = 'album/a.png'")
        await connection.execute(
            "DELETE FROM embedding WHERE region_id = (SELECT max(id) FROM region)"
        )
    found = {each.code: each for each in await integrity_check.check(bench.database, bench.blobs)}
    assert set(found) == {"source_without_tiles", "tile_without_vector"}
    assert found["source_without_tiles"].examples == ("album/a.png",)


async def test_analysts_see_regions_and_their_coverage(bench: Bench, album: Path) -> None:
    patch(album / "a.png", (150, 150), RED)
    Image.new("RGB", (80, 80), RED).save(album / "small.png")
    await bench.ingest("album", settings=ON)
    assert await bench.rows("SELECT kind, count(*) FROM analytics.regions GROUP BY kind") == [
        ("tile", 13)
    ]
    (space,) = await bench.rows(
        "SELECT embedding_space_id FROM analytics.embedding_spaces WHERE level = 'region'"
    )
    assert await bench.rows("SELECT * FROM analytics.coverage(%s)", *space) == [("album", 2, 1, 1)]
    assert await bench.rows("SELECT * FROM analytics.coverage()") == [("album", 2, 2, 0)]
    nearest = await bench.rows(
        "SELECT region_id FROM analytics.search((SELECT embedding FROM analytics.embeddings "
        "WHERE region_id = (SELECT max(region_id) FROM analytics.regions)), 1, %s)",
        *space,
    )
    assert nearest == await bench.rows("SELECT max(region_id) FROM analytics.regions")


class Choking(ColorHistogramEncoder):
    """Fails on images that are completely blue."""

    async def encode_images(self, pixels: list[Pixels]) -> Vectors:  # type: ignore[override]
        if any((each.reshape(-1, 3) == BLUE).all() for each in pixels):
            raise RuntimeError("too blue")
        return await super().encode_images(pixels)


async def test_a_tile_that_cannot_be_encoded_does_not_fail_its_image(
    bench: Bench, album: Path
) -> None:
    image = Image.new("RGB", (240, 240), (127, 127, 127))
    image.paste(BLUE, (0, 0, 110, 110))
    image.save(album / "a.png")
    summary = await bench.ingest("album", settings=ON, encoder=Choking())
    assert (summary.added, summary.failed) == (1, 0)
    assert summary.warnings["tile_not_encoded"].count == 13 - len(await bench.rows(TILES)) > 0
    assert await integrity_check.check(bench.database, bench.blobs) == []


async def test_an_invalid_setting_and_another_encoder_are_refused(
    bench: Bench, album: Path
) -> None:
    patch(album / "a.png", (150, 150), RED)
    async with bench.database.connection() as connection:
        made = await collections.ensure(connection, "album", {"tiles": "perhaps"})
    with pytest.raises(ConfigurationError, match="'tiles' of collection 'album' is 'perhaps'"):
        await bench.ingest("album")
    async with bench.database.connection() as connection:
        await collections.update_settings(connection, made, ON)
    await bench.ingest("album")

    class Other(ColorHistogramEncoder):
        @property
        def identity(self) -> EncoderIdentity:
            return EncoderIdentity("other", "w", "p", 48)

    with pytest.raises(SpaceMismatchError, match=r"test-color-histogram.*other"):
        await bench.ingest("album", encoder=Other())
    assert (await bench.rows("SELECT DISTINCT tile_scheme FROM sightline.source")) == [
        (TILE_SCHEME,)
    ]
