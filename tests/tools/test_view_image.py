"""Tests of view_image: the right part of the right image, upright."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image
from reportlab.pdfgen.canvas import Canvas

from sightline.server.models.ocr.rapid_ocr import load_ocr_engine
from tests.support.media import film, pdf
from tests.tools.album import BLUE, GREEN, RED, YELLOW
from tests.tools.test_resources import picture_at
from tests.tools.toolbox import ToolEnvironment, is_near_color


async def test_an_image_is_returned_with_its_metadata(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        asset = ids["album/shop/garlic.png"]
        result, (picture,) = await tools.call_with_images("view_image", asset=asset)
    assert result["asset"]["asset"] == asset
    assert result["asset"]["source"] == "album/shop/garlic.png"
    assert result["asset"]["metadata"]["product"] == "Garlic"
    assert result["asset"]["caption"] == "A bulb of garlic on a green cloth"
    assert result["shown_size"] == [96, 64] == list(picture.size)
    assert "crop" not in result


async def test_large_images_are_reduced_and_small_ones_never_enlarged(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        asset = ids["album/site/large.jpg"]
        default, (normal,) = await tools.call_with_images("view_image", asset=asset)
        _, (small,) = await tools.call_with_images("view_image", asset=asset, max_edge=100)
        _, (most,) = await tools.call_with_images("view_image", asset=asset, max_edge=1568)
        _, (own,) = await tools.call_with_images(
            "view_image", asset=ids["album/shop/garlic.png"], max_edge=1568
        )
    assert normal.size == (1024, 683)
    assert default["shown_size"] == [1024, 683]
    assert default["asset"]["size"] == [2400, 1600]
    assert small.size == (100, 67)
    assert most.size == (1568, 1045)
    assert own.size == (96, 64)


@pytest.mark.parametrize(
    ("crop", "shown", "color", "size"),
    [
        ([0, 0, 0.45, 0.45], [0, 0, 0.495, 0.495], RED, (1024, 683)),
        ([0.55, 0, 1, 0.45], [0.505, 0, 1, 0.495], GREEN, (1024, 683)),
        ([0, 0.55, 0.45, 1], [0, 0.505, 0.495, 1], BLUE, (1024, 683)),
        ([0.75, 0.75, 1, 1], [0.725, 0.725, 1, 1], YELLOW, (768, 512)),
        ([0, 0, 0.0001, 0.0001], [0, 0, 0.0018, 0.0026], RED, (32, 32)),
    ],
)
async def test_a_crop_with_a_margin_is_cut_before_the_image_is_resized(
    environment: ToolEnvironment,
    crop: list[float],
    shown: list[float],
    color: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        result, (picture,) = await tools.call_with_images(
            "view_image", asset=ids["album/site/large.jpg"], crop=crop
        )
    assert result["crop"] == shown
    assert result["shown_size"] == [*size]
    assert picture.size == size
    for x in (0.01, 0.5, 0.99):  # JPEG mixes colors at the very edge
        for y in (0.01, 0.5, 0.99):
            at = (int(x * picture.width), int(y * picture.height))
            assert is_near_color(picture.getpixel(at), color)


async def test_a_turned_photograph_is_shown_upright_and_without_its_exif(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        result, (picture,) = await tools.call_with_images(
            "view_image", asset=ids["album/site/gate.jpg"]
        )
        _, (top,) = await tools.call_with_images(
            "view_image", asset=ids["album/site/gate.jpg"], crop=[0, 0, 1, 0.4]
        )
    assert result["asset"]["size"] == [60, 80] == list(picture.size)
    assert is_near_color(picture.getpixel((30, 10)), RED)
    assert is_near_color(picture.getpixel((30, 70)), BLUE)
    assert is_near_color(top.getpixel((30, 30)), RED)
    assert dict(picture.getexif()) == {}
    assert not {"exif", "comment", "icc_profile", "xmp"} & set(picture.info)


async def test_a_small_crop_is_enlarged_up_to_max_edge(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())["album/site/large.jpg"]
        crop = [0.45, 0.45, 0.55, 0.55]
        _, (default,) = await tools.call_with_images("view_image", asset=asset, crop=crop)
        _, (small,) = await tools.call_with_images(
            "view_image", asset=asset, crop=crop, max_edge=200
        )
        _, (tiny,) = await tools.call_with_images(
            "view_image", asset=asset, crop=[0.5, 0.5, 0.51, 0.51]
        )
    assert default.size == (768, 512)
    assert small.size == (200, 133)
    assert tiny.size == (8 * 33, 8 * 24)  # with a margin of four pixels or more on each side
    corners = [(50, 50), (700, 50), (50, 450), (700, 450)]
    for corner, color in zip(corners, (RED, GREEN, BLUE, YELLOW), strict=True):
        assert is_near_color(default.getpixel(corner), color)


def small_print(canvas: Canvas) -> None:
    canvas.setFont("Helvetica", 2)
    canvas.drawString(100, 300, "Warranty 4711")


def words_on(picture: Image.Image) -> str:
    engine = load_ocr_engine()
    return "".join(line.text for line in engine.read(picture).lines).replace(" ", "")


async def test_a_crop_of_a_page_is_rendered_again_so_that_small_print_is_readable(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "documents"
    folder.mkdir()
    (folder / "terms.pdf").write_bytes(pdf(lambda c: c.drawString(9, 9, "Cover"), small_print))
    crop = [0.235, 0.487, 0.285, 0.5]
    async with empty_environment.replace(roots=(folder,)).serve() as tools:
        await tools.call("add_images", collection="album", paths=[str(folder)])
        async with tools.database.connection() as connection:
            cursor = await connection.execute("SELECT id FROM asset WHERE page = 2")
            ((asset,),) = await cursor.fetchall()
        sharp, (rendered,) = await tools.call_with_images("view_image", asset=asset, crop=crop)
        whole, _ = await tools.call_with_images("view_image", asset=asset)
        (folder / "terms.pdf").write_bytes(pdf(small_print))
        changed, (other,) = await tools.call_with_images("view_image", asset=asset, crop=crop)
        (folder / "terms.pdf").unlink()
        gone, (blurred,) = await tools.call_with_images("view_image", asset=asset, crop=crop)
    assert (sharp["asset"]["page"], "notes" in sharp, "notes" in whole) == (2, False, False)
    assert max(rendered.size) == pytest.approx(440, abs=20)  # eight times the stored picture
    assert "Warranty4711" in words_on(rendered)
    assert "Warranty4711" not in words_on(blurred)
    assert other.tobytes() == blurred.tobytes()
    assert abs(blurred.width - rendered.width) <= 8
    (note,) = changed["notes"]
    assert note.startswith("The document has changed since ingest: its stored page picture was ")
    assert "The document no longer exists" in gone["notes"][0]


async def test_a_crop_of_a_video_frame_is_enlarged(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "videos"
    folder.mkdir()
    film(folder / "gate.mp4", [(RED, 1.0)])
    async with empty_environment.replace(roots=(folder,)).serve() as tools:
        await tools.call("add_images", collection="album", paths=[str(folder)])
        (asset, *_) = (await tools.ids()).values()
        _, (picture,) = await tools.call_with_images(
            "view_image", asset=asset, crop=[0.5, 0.5, 0.7, 0.7]
        )
    assert max(picture.size) == pytest.approx(8 * 0.25 * 160, abs=16)


async def test_without_inline_the_uri_is_that_of_the_same_view(
    environment: ToolEnvironment,
) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())["album/site/large.jpg"]
        crop = [0.2, 0.2, 0.3, 0.3]
        shown, (picture,) = await tools.call_with_images("view_image", asset=asset, crop=crop)
        linked, nothing = await tools.call_with_images(
            "view_image", asset=asset, crop=crop, inline=False
        )
        whole, _ = await tools.call_with_images("view_image", asset=asset, inline=False)
        read = await picture_at(tools, linked["uri"])
        again = await picture_at(tools, whole["uri"])
    assert nothing == []
    assert "shown_size" not in linked
    assert linked["uri"] == f"sightline://asset/{asset}/crop/0.19,0.19,0.31,0.31"
    assert (linked["uri"], linked["crop"]) == (shown["uri"], shown["crop"])
    assert read.tobytes() == picture.tobytes()
    assert whole["uri"] == f"sightline://asset/{asset}"
    assert again.size == (1568, 1045)


async def test_the_uri_of_an_annotated_crop_has_the_annotations(
    environment_copy: ToolEnvironment,
) -> None:
    async with environment_copy.serve() as tools:
        asset = (await tools.ids())["album/site/large.jpg"]
        box = {"box": [0.22, 0.22, 0.28, 0.28], "label": "mark"}
        await tools.call("save_annotation", asset=asset, boxes=[box], origin="person")
        crop = [0.2, 0.2, 0.3, 0.3]
        shown, (picture,) = await tools.call_with_images(
            "view_image", asset=asset, crop=crop, annotated=True
        )
        linked, none = await tools.call_with_images(
            "view_image", asset=asset, crop=crop, annotated=True, inline=False
        )
        _, (plain,) = await tools.call_with_images("view_image", asset=asset, crop=crop)
        read = await picture_at(tools, linked["uri"])
    assert "uri" not in shown  # it is long, and the image is there
    assert none == []
    assert "/crop/0.19,0.19,0.31,0.31/drawn/" in linked["uri"]
    assert read.tobytes() == picture.tobytes() != plain.tobytes()


async def test_a_file_that_changed_after_ingest_is_rejected(
    empty_environment: ToolEnvironment, tmp_path: Path
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    Image.new("RGB", (40, 40), RED).save(folder / "a.png")
    async with empty_environment.replace(roots=(folder,)).serve() as tools:
        await tools.call("add_images", collection="album", paths=[str(folder)])
        (asset,) = (await tools.ids()).values()
        Image.new("RGB", (40, 40), BLUE).save(folder / "a.png")
        changed = await tools.call_error("view_image", asset=asset)
        (folder / "a.png").unlink()
        gone = await tools.call_error("view_image", asset=asset)
    assert "has changed since ingest" in changed
    assert "ingest it again" in changed
    assert "no longer exists" in gone


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"asset": "zzzzzzzzzzzz"}, ["'zzzzzzzzzzzz'", "search results"]),
        ({"asset": "../../etc/passwd"}, ["'../../etc/passwd'", "12 letters and digits"]),
        ({"asset": "a\x00b"}, [r"'a\x00b'", "12 letters and digits"]),
        ({"asset": ""}, ["''", "12 letters and digits"]),
        ({"max_edge": 0}, ["max_edge 0", "64 to 1568"]),
        ({"max_edge": 10**9}, ["1000000000", "64 to 1568"]),
        ({"max_edge": "large"}, ["max_edge", "valid integer", "'large'"]),
        ({"crop": [0.5, 0, 0.5, 1]}, ["[0.5, 0.0, 0.5, 1.0]", "x0 < x1"]),
        ({"crop": [0, 0, 2, 1]}, ["[0.0, 0.0, 2.0, 1.0]", "<= 1"]),
        ({"crop": [0, 0, 1]}, ["crop", "at least 4 items"]),
        ({"crop": "middle"}, ["crop", "valid list"]),
        ({"zoom": 2}, ["view_image has no argument 'zoom'", "'max_edge'"]),
    ],
)
async def test_invalid_arguments_are_rejected_with_valid_options(
    environment: ToolEnvironment, arguments: dict[str, object], words: list[str]
) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())["album/shop/garlic.png"]
        text = await tools.call_error("view_image", **{"asset": asset, **arguments})
    for word in words:
        assert word in text


async def test_a_crop_with_numbers_that_are_none_is_refused(environment: ToolEnvironment) -> None:
    async with environment.serve() as tools:
        asset = (await tools.ids())["album/shop/garlic.png"]
        text = await tools.call_error("view_image", asset=asset, crop=[0, 0, "NaN", 1])
    assert "crop" in text or "box" in text
