"""Camera RAW: a large preview, or the sensor data; never a thumbnail of 160 pixels."""

from __future__ import annotations

import pytest
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.picture_files import (
    color_at,
    decode_file,
    every_view,
    images_of,
    shows_three_colors,
    three_colors,
)
from tests.support.raw_dng import dng

NAMES = ["a.dng", "a.nef", "a.tif"]


@pytest.mark.parametrize("name", ["a.dng", "a.nef", "a.cr2", "a.arw"])
def test_the_sensor_data_are_developed(name: str) -> None:
    for view in every_view(name, dng()):
        red, blue, green = (color_at(view, *at) for at in ((0.2, 0.2), (0.8, 0.2), (0.5, 0.8)))
        assert red[0] > 2 * max(red[1:])
        assert blue[2] > 1.5 * max(blue[:2])
        assert green[1] > 1.5 * max(green[0], green[2])


def test_a_small_preview_is_not_taken() -> None:
    data = dng((1600, 1200), preview=Image.new("RGB", (160, 120), "black"))
    (part,) = images_of(decode_file("a.dng", data))
    assert (part.width, part.height) == (1600, 1200)
    assert color_at(every_view("a.dng", data)[-1], 0.2, 0.2)[0] > 100


@pytest.mark.parametrize("name", NAMES)
def test_a_large_preview_is_taken(name: str) -> None:
    data = dng((1600, 1200), preview=three_colors((1200, 900)))
    assert all(shows_three_colors(view) for view in every_view(name, data))
    (part,) = images_of(decode_file(name, data))
    assert (part.width, part.height) == (1200, 900)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (6, Image.Transpose.ROTATE_90),
        (8, Image.Transpose.ROTATE_270),
        (3, Image.Transpose.ROTATE_180),
    ],
)
def test_the_preview_is_turned_once(orientation: int, turn: Image.Transpose) -> None:
    stored = three_colors((1200, 900)).transpose(turn)
    size = (1600, 1200) if stored.width > stored.height else (1200, 1600)
    data = dng(size, preview=stored, orientation=orientation)
    assert all(shows_three_colors(view) for view in every_view("a.dng", data))


def test_the_sensor_data_are_turned_once() -> None:
    view = every_view("a.dng", dng((320, 240), orientation=6))[-1]
    assert view.size == (240, 320)
    assert color_at(view, 0.8, 0.2)[0] > 100  # red: top left before the turn to the right


def test_the_exif_data_are_read() -> None:
    info = decode_file("a.dng", dng())[-1]
    assert isinstance(info, messages.SourceInfo)
    assert info.mime_type == "image/x-dcraw"
    assert info.embedded.camera == "Maker Model 5"
    assert info.embedded.times[0].value == "2024:05:03 17:22:10"


@pytest.mark.parametrize("claimed", [(30_000, 30_000), (1, 1 << 30)])
def test_a_sensor_that_is_too_large_is_refused(claimed: tuple[int, int]) -> None:
    with pytest.raises(MediaError) as caught:
        decode_file("a.dng", dng(claimed=claimed))
    assert caught.value.code in ("too_many_pixels", "not_an_image", "broken")


def test_a_large_preview_counts_too() -> None:
    data = dng((400, 300), preview=Image.new("RGB", (1200, 900)))
    with pytest.raises(MediaError, match="1,080,000 pixels"):
        decode_file("a.dng", data, IngestOptions(max_pixels=1_000_000))


@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_file_without_its_directory_is_refused(share: float) -> None:
    data = dng()
    with pytest.raises(MediaError) as caught:
        decode_file("a.dng", data[: int(share * len(data))])
    assert caught.value.code in ("not_an_image", "broken")
