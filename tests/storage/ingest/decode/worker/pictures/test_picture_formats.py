"""Pictures of every format: the same colors, upright, in ingest and in the tools."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable

import numpy as np
import pillow_heif
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageDraw

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from tests.support.picture_files import (
    SIZE,
    color_at,
    decode_file,
    every_view,
    heic,
    images_of,
    is_near,
    jxl,
    psd,
    shows_three_colors,
    three_colors,
    thumbnail_of,
    warnings_of,
)
from tests.support.sample_images import encoded, exif, picture, png_chunk

TURNS = {
    1: None,
    3: Image.Transpose.ROTATE_180,
    6: Image.Transpose.ROTATE_90,
    8: Image.Transpose.ROTATE_270,
}


def by_pillow(form: str) -> Callable[[Image.Image], bytes]:
    return lambda image: encoded(image, form)


FORMATS: dict[str, Callable[[Image.Image], bytes]] = {
    "a.jpg": by_pillow("JPEG"),
    "a.png": by_pillow("PNG"),
    "a.webp": by_pillow("WEBP"),
    "a.gif": by_pillow("GIF"),
    "a.bmp": by_pillow("BMP"),
    "a.tif": by_pillow("TIFF"),
    "a.avif": by_pillow("AVIF"),
    "a.heic": heic,
    "a.jxl": jxl,
    "a.jp2": by_pillow("JPEG2000"),
    "a.ppm": by_pillow("PPM"),
    "a.tga": by_pillow("TGA"),
    "a.psd": psd,
    "cmyk.jpg": lambda image: encoded(image.convert("CMYK"), "JPEG"),
    "cmyk.tif": lambda image: encoded(image.convert("CMYK"), "TIFF"),
}


@pytest.mark.parametrize("name", FORMATS)
def test_a_picture_has_its_colors(name: str) -> None:
    data = FORMATS[name](three_colors())
    for view in every_view(name, data):
        assert shows_three_colors(view, 40)
    info = decode_file(name, data)[-1]
    assert isinstance(info, messages.SourceInfo)
    assert str(info.mime_type).startswith("image/")


def test_the_largest_picture_of_an_icon_is_taken() -> None:
    data = encoded(three_colors((64, 64)), "ICO", sizes=[(16, 16), (64, 64)])
    views = every_view("a.ico", data)
    assert all(shows_three_colors(view) for view in views)
    assert views[-1].size == (64, 64)


@pytest.mark.parametrize("orientation", TURNS)
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tif", "a.avif", "a.heic"])
def test_the_orientation_is_applied_once(name: str, orientation: int) -> None:
    turn = TURNS[orientation]
    stored = three_colors() if turn is None else three_colors().transpose(turn)
    block = exif(orientation=orientation)
    if name == "a.heic":
        file = io.BytesIO()  # as phones write it: turned in the container and in EXIF
        pillow_heif.encode("RGB", stored.size, stored.tobytes(), file, quality=95, exif=block)
        data = file.getvalue()
    else:
        data = encoded(stored, Image.registered_extensions()[name[1:]], exif=block)
    for view in every_view(name, data):
        assert shows_three_colors(view, 40)
    (part,) = images_of(decode_file(name, data))
    assert (part.width, part.height) == SIZE


def test_a_jpeg_that_is_packed_in_jpeg_xl_is_turned_too(tmp_path: object) -> None:
    path = f"{tmp_path}/a.jpg"
    stored = three_colors().transpose(Image.Transpose.ROTATE_90)
    stored.save(path, exif=exif(orientation=6))
    data = encoded(Image.open(path), "JXL", lossless_jpeg=True)
    for view in every_view("a.jxl", data):
        assert shows_three_colors(view, 40)


def ramp(low: float, high: float) -> NDArray[np.float64]:
    """Return a gray ramp from left to right."""
    return np.tile(np.linspace(low, high, 96), (64, 1))


DEEP: dict[str, Image.Image] = {
    "16 bits": Image.fromarray(ramp(0, 65535).astype(np.uint16)),
    "12 bits in 16": Image.fromarray(ramp(0, 4095).astype(np.uint16)),
    "10 bits in 16": Image.fromarray(ramp(0, 1023).astype(np.uint16)),
    "a narrow range": Image.fromarray(ramp(30_000, 31_000).astype(np.uint16)),
    "32 bits": Image.fromarray(ramp(0, 2**31 - 1).astype(np.int32)),
    "negative": Image.fromarray(ramp(-1000, 3000).astype(np.int32)),
    "float 0 to 1": Image.fromarray(ramp(0, 1).astype(np.float32)),
    "float": Image.fromarray(ramp(-12.5, 900).astype(np.float32)),
    "tiny float": Image.fromarray(ramp(0, 1e-4).astype(np.float32)),
}


@pytest.mark.parametrize("name", DEEP)
def test_deep_grays_are_scaled_by_content(name: str) -> None:
    for view in every_view("a.tif", encoded(DEEP[name], "TIFF")):
        gray = [color_at(view, x, 0.5)[0] for x in (0.02, 0.5, 0.98)]
        assert gray[0] < 20
        assert abs(gray[1] - 128) < 20
        assert gray[2] > 235


def test_values_that_are_no_numbers_are_black() -> None:
    values = ramp(0, 50).astype(np.float32)
    values[:32, :48], values[40, 50] = np.nan, np.inf
    for view in every_view("a.tif", encoded(Image.fromarray(values), "TIFF")):
        assert color_at(view, 0.2, 0.2)[0] < 20
        assert color_at(view, 0.95, 0.8)[0] > 220
    nothing = Image.fromarray(np.full((64, 96), np.nan, np.float32))
    every_view("a.tif", encoded(nothing, "TIFF"))


@pytest.mark.parametrize("ink", ["white", "black", "#ffe040", "gray"])
@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_letters_on_transparent_can_be_read(ink: str, form: str) -> None:
    image = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((80, 30, 120, 70), ink)
    for view in every_view(f"a.{form.lower()}", encoded(image, form)):
        gray = view.convert("L")
        inside, outside = color_at(gray, 0.5, 0.5)[0], color_at(gray, 0.1, 0.1)[0]
        assert abs(inside - outside) > 60


def test_letters_in_white_with_black_outline_stand_on_gray() -> None:
    image = Image.new("RGBA", (200, 100), (0, 0, 0, 0))
    ImageDraw.Draw(image).rectangle((60, 20, 140, 80), "white", "black", 6)
    view = every_view("a.png", encoded(image, "PNG"))[-1]
    assert color_at(view, 0.05, 0.05) == (128, 128, 128)


def wide_profile() -> bytes:
    """Return a profile in which red and green are exchanged."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    text = profile.replace(b"sRGB", b"test").replace(b"s\0R\0G\0B", b"t\0e\0s\0t")
    text = text.replace(b"\0s\0R\0G\0B", b"\0t\0e\0s\0t")
    red, green = text.index(b"rXYZ"), text.index(b"gXYZ")
    text[red : red + 4], text[green : green + 4] = b"gXYZ", b"rXYZ"
    return bytes(text)


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_color_profile_is_applied(form: str) -> None:
    data = encoded(Image.new("RGB", SIZE, (230, 20, 20)), form, icc_profile=wide_profile())
    for view in every_view(f"a.{form.lower()}", data):
        red, green, _ = color_at(view, 0.5, 0.5)
        assert green > 200
        assert red < 60


@pytest.mark.parametrize("profile", [b"junk" * 100, wide_profile()[:300], bytes(200)])
def test_a_broken_profile_does_not_lose_the_picture(profile: bytes) -> None:
    data = encoded(three_colors(), "PNG", icc_profile=profile)
    assert all(shows_three_colors(view) for view in every_view("a.png", data))


def test_high_dynamic_range_is_mapped_to_the_screen() -> None:
    gray = Image.new("RGB", SIZE, (148, 148, 148))  # 203 nits in PQ: white paper
    nclx = {"color_primaries": 9, "transfer_characteristics": 16, "matrix_coefficients": 9}
    data = heic(gray, save_nclx_profile=True, full_range_flag=1, **nclx)
    for view in every_view("a.heic", data):
        assert min(color_at(view, 0.5, 0.5)) > 185


def coded(form: str, color: tuple[int, int, int], primaries: int, transfer: int) -> bytes:
    """Return a picture whose colors are coded as ITU-T H.273 says."""
    data = encoded(
        Image.new("RGB", SIZE, color), form, **({} if form == "PNG" else {"quality": 100})
    )
    if form == "PNG":
        return data[:33] + png_chunk(b"cICP", bytes([primaries, transfer, 0, 1])) + data[33:]
    at = data.index(b"colrnclx") + 8
    return data[:at] + struct.pack(">HH", primaries, transfer) + data[at + 4 :]


@pytest.mark.parametrize("form", ["PNG", "AVIF"])
def test_coded_colors_are_those_of_the_screen(form: str) -> None:
    for view in every_view(f"a.{form.lower()}", coded(form, (148, 148, 148), 9, 16)):  # PQ
        assert min(color_at(view, 0.5, 0.5)) > 185
    for view in every_view(f"a.{form.lower()}", coded(form, (200, 50, 50), 12, 13)):  # Display P3
        red, green, _ = color_at(view, 0.5, 0.5)
        assert red > 205
        assert green < 40
    for view in every_view(f"a.{form.lower()}", coded(form, (148, 60, 20), 1, 13)):  # sRGB
        assert is_near(color_at(view, 0.5, 0.5), (148, 60, 20), 4)


@pytest.mark.parametrize(("form", "share"), [("JPEG", 0.6), ("PNG", 0.6), ("GIF", 0.6)])
def test_what_is_left_of_a_truncated_picture_is_kept(form: str, share: float) -> None:
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (128, 128, 3), np.uint8))
    name, data = f"a.{form.lower()}", encoded(noise, form)
    parts = decode_file(name, data[: int(share * len(data))])
    (part,) = images_of(parts)
    assert [each.code for each in warnings_of(parts)] == ["picture_truncated"]
    assert (part.width, part.height) == noise.size
    top = np.asarray(thumbnail_of(part))[:20].std()
    assert top > 10  # it shows something
    every_view(name, data[: int(share * len(data))])


def test_a_file_of_which_nothing_is_left_is_refused() -> None:
    data = encoded(picture(1, (400, 400)), "JPEG")
    with pytest.raises(MediaError) as caught:
        decode_file("a.jpg", data[: data.index(b"\xff\xda") + 14])
    assert caught.value.code in ("truncated", "broken")
