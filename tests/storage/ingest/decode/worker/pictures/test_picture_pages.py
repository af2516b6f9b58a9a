"""Pages of a TIFF, frames of animations, and motion photos."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pillow_heif
import pytest
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.pictures.motion_photo import motion_film
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.media import GREEN, RED, film
from tests.support.picture_files import (
    Color,
    color_at,
    decode_file,
    images_of,
    is_near,
    shows_three_colors,
    three_colors,
    thumbnail_of,
    warnings_of,
)
from tests.support.sample_images import encoded, exif

COLORS: list[Color] = [(210, 40, 40), (40, 60, 210), (50, 180, 60)]


def several(form: str, images: list[Image.Image], **how: object) -> bytes:
    return encoded(images[0], form, save_all=True, append_images=images[1:], **how)


def plain(colors: list[Color]) -> list[Image.Image]:
    return [Image.new("RGB", (64, 48), color) for color in colors]


def test_the_pages_of_a_tiff_are_pages() -> None:
    parts = images_of(decode_file("scan.tif", several("TIFF", plain(COLORS))))
    assert [(part.kind, part.ordinal, part.page) for part in parts] == [
        ("page", 0, 1),
        ("page", 1, 2),
        ("page", 2, 3),
    ]
    for part, color in zip(parts, COLORS, strict=True):
        assert is_near(color_at(thumbnail_of(part), 0.5, 0.5), color)
        content = Image.open(io.BytesIO(part.content or b""))
        assert content.size == (part.width, part.height) == (64, 48)


def test_the_pages_of_a_tiff_are_upright() -> None:
    stored = three_colors().transpose(Image.Transpose.ROTATE_90)
    data = several("TIFF", [stored, stored], exif=exif(orientation=6))
    first, second = images_of(decode_file("scan.tif", data))
    assert shows_three_colors(thumbnail_of(first))
    assert first.width > first.height
    assert second.page == 2


def test_previews_in_a_tiff_are_no_pages() -> None:
    from PIL import TiffImagePlugin

    file = io.BytesIO()
    with TiffImagePlugin.AppendingTiffWriter(file) as writer:
        for subfile in (0, 1):
            tags = TiffImagePlugin.ImageFileDirectory_v2()
            tags[254] = subfile
            three_colors().save(writer, "TIFF", tiffinfo=tags)
            writer.newFrame()
    (part,) = images_of(decode_file("a.tif", file.getvalue()))
    assert (part.kind, part.content) == ("image", None)


def test_a_broken_page_is_a_warning() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 64, 3), np.uint8)
    data = bytearray(
        several("TIFF", [Image.fromarray(each) for each in noise], compression="tiff_adobe_deflate")
    )
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(400)
    parts = decode_file("scan.tif", bytes(data))
    assert [part.page for part in images_of(parts)] == [1, 3]
    assert [each.code for each in warnings_of(parts)] == ["page_broken"]


def test_a_tiff_with_too_many_pages_is_refused() -> None:
    data = several("TIFF", [Image.new("1", (2, 2))] * 12)
    with pytest.raises(MediaError, match="more than 10 pages") as caught:
        decode_file("scan.tif", data, IngestOptions(max_pages=10))
    assert caught.value.code == "too_many_pages"


def test_a_loop_of_directories_ends() -> None:
    data = bytearray(several("TIFF", plain(COLORS)))
    order = "<" if data[:2] == b"II" else ">"
    (first,) = struct.unpack_from(f"{order}I", data, 4)
    (count,) = struct.unpack_from(f"{order}H", data, first)
    struct.pack_into(f"{order}I", data, first + 2 + 12 * count, first)  # next: itself
    assert len(images_of(decode_file("scan.tif", bytes(data)))) == 1


@pytest.mark.parametrize("form", ["GIF", "WEBP", "PNG", "AVIF"])
def test_the_frames_of_an_animation_are_kept_with_their_time(form: str) -> None:
    images = plain([COLORS[0], COLORS[0], COLORS[1], COLORS[2]])
    how = {"quality": 95} if form in ("WEBP", "AVIF") else {}
    data = several(form, images, duration=200, **how)
    parts = images_of(decode_file(f"a.{form.lower()}", data))
    assert [part.kind for part in parts] == ["frame"] * 3
    assert [part.frame_seconds for part in parts] == pytest.approx([0, 0.4, 0.6])
    for part, color in zip(parts, COLORS, strict=True):
        assert is_near(color_at(thumbnail_of(part), 0.5, 0.5), color, 30)
        assert part.content


def test_an_animation_that_does_not_change_is_one_image() -> None:
    data = several("GIF", [*plain([COLORS[0]]), Image.new("RGB", (64, 48), (211, 41, 41))])
    (part,) = images_of(decode_file("a.gif", data))
    assert (part.kind, part.content) == ("image", None)


def test_a_long_animation_is_sampled_and_bounded() -> None:
    rng = np.random.default_rng(1)
    images = [Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(60)]
    data = several("GIF", images, duration=100)
    options = IngestOptions(max_video_frames=10)
    parts = decode_file("a.gif", data, options)
    assert len(images_of(parts)) == 10
    assert [each.code for each in warnings_of(parts)] == ["animation_cut_short"]


def test_very_many_frames_end_in_time() -> None:
    """Frames of one pixel, in a few bytes each."""
    head = b"GIF89a\x01\0\x01\0\x80\0\0\xff\0\0\0\0\xff"
    frame = b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0"
    parts = decode_file("a.gif", head + frame * 200_000 + b";")
    assert len(images_of(parts)) == 1


def test_the_film_in_a_motion_photo_is_found(tmp_path: Path) -> None:
    clip = film(tmp_path / "a.mp4", [(RED, 1), (GREEN, 1)]).read_bytes()
    still = encoded(three_colors(), "JPEG", xmp=b"<x:xmpmeta GCamera:MotionPhoto='1'/>")
    assert motion_film(still + clip) == clip
    assert motion_film(still) is None
    samsung = encoded(three_colors(), "JPEG") + b"\0\0\x30\x0aMotionPhoto_Data" + clip + b"SEFT"
    assert (motion_film(samsung) or b"").startswith(clip)
    file = io.BytesIO()
    pillow_heif.from_pillow(three_colors()).save(file)
    apple = file.getvalue() + struct.pack(">I4s", 8 + len(clip), b"mpvd") + clip
    assert motion_film(apple) == clip
    assert motion_film(file.getvalue()) is None
    images = images_of(decode_file("a.jpg", still + clip))
    assert [(part.kind, part.ordinal) for part in images] == [
        ("image", 0),
        ("frame", 1),
        ("frame", 2),
    ]
    assert [part.frame_seconds for part in images] == [None, 0, pytest.approx(1, abs=0.3)]
    broken = decode_file("a.jpg", still + clip[:40] + bytes(200))
    assert [part.kind for part in images_of(broken)] == ["image"]
