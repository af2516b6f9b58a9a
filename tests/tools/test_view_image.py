"""Tests of view_image: the right part of the right image, upright."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from tests.tools.album import BLUE, GREEN, RED, YELLOW
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
    ("crop", "color", "size"),
    [
        ([0, 0, 0.5, 0.5], RED, (1024, 683)),
        ([0.5, 0, 1, 0.5], GREEN, (1024, 683)),
        ([0, 0.5, 0.5, 1], BLUE, (1024, 683)),
        ([0.75, 0.75, 1, 1], YELLOW, (600, 400)),
        ([0, 0, 0.0001, 0.0001], RED, (1, 1)),
    ],
)
async def test_a_crop_is_cut_before_the_image_is_reduced(
    environment: ToolEnvironment,
    crop: list[float],
    color: tuple[int, int, int],
    size: tuple[int, int],
) -> None:
    async with environment.serve() as tools:
        ids = await tools.ids()
        result, (picture,) = await tools.call_with_images(
            "view_image", asset=ids["album/site/large.jpg"], crop=crop
        )
    assert result["crop"] == [round(edge, 4) for edge in crop]
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
