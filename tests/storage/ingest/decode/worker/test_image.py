import io
import os

import numpy as np
import pytest
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.decode_stage import pixels_of
from sightline.storage.ingest.decode.worker.image import decode_image
from sightline.storage.ingest.decode.worker.pictures.open_picture import open_image
from sightline.storage.ingest.decode.worker.worker_protocol import ImagePart
from tests.support.encoders import color_grid
from tests.support.sample_images import encoded, exif, picture


def decode(data: bytes, max_pixels: int = 1_000_000) -> ImagePart:
    return decode_image(open_image(data, max_pixels), color_grid)[0]


def thumbnail(part: ImagePart) -> Image.Image:
    image = Image.open(io.BytesIO(part.thumbnail))
    image.load()
    return image


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_supported_formats_are_decoded(form: str) -> None:
    got = decode(encoded(picture(1, (400, 200)), form))
    assert (got.width, got.height) == (400, 200)
    assert got.shape == (32, 32, 3)
    assert thumbnail(got).size == got.thumbnail_size == (256, 128)


@pytest.mark.parametrize(
    ("form", "code"), [("EPS", "unsupported"), ("PDF", "not_an_image"), ("SGI", "unsupported")]
)
def test_unsupported_formats_are_refused_even_if_pillow_supports_them(form: str, code: str) -> None:
    with pytest.raises(MediaError) as caught:
        decode(encoded(picture(1), form))
    assert caught.value.code == code


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_exif_orientation_comes_out_upright(orientation: int) -> None:
    upright = picture(3, (40, 20))
    stored = {
        1: upright,
        2: upright.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        3: upright.transpose(Image.Transpose.ROTATE_180),
        4: upright.transpose(Image.Transpose.FLIP_TOP_BOTTOM),
        5: upright.transpose(Image.Transpose.TRANSPOSE),
        6: upright.transpose(Image.Transpose.ROTATE_90),
        7: upright.transpose(Image.Transpose.TRANSVERSE),
        8: upright.transpose(Image.Transpose.ROTATE_270),
    }[orientation]
    got = decode(encoded(stored, "PNG", exif=exif(orientation=orientation)))
    small = thumbnail(got)
    assert (got.width, got.height) == small.size == (40, 20)
    assert np.abs(np.asarray(small, int) - np.asarray(upright, int)).mean() < 12
    assert not small.getexif()
    expected = color_grid(upright).astype(int)
    assert np.abs(pixels_of(got).astype(int) - expected).max() <= 1


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    assert np.asarray(thumbnail(decode(encoded(clear, "PNG")))).min() > 250


def test_transparent_palette_colors_become_white() -> None:
    image = Image.new("P", (64, 64), 0)
    image.putpalette([0, 0, 0, 255, 0, 0])
    data = encoded(image, "PNG", transparency=0)
    assert np.asarray(thumbnail(decode(data))).min() > 250


@pytest.mark.parametrize("mode", ["1", "L", "LA", "CMYK", "I;16", "P", "RGBA", "YCbCr"])
def test_every_pixel_mode_is_decoded(mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.full((40, 40), 32_768, np.uint16))
    else:
        image = Image.new("RGB", (40, 40), (128, 128, 128)).convert(mode)
    form = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    gray = np.asarray(thumbnail(decode(encoded(image, form))).convert("L"), int)
    assert abs(gray.mean() - 128) < 6


def test_too_many_pixels_are_refused_before_they_are_decoded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)  # as workers have it
    bomb = encoded(Image.new("1", (8_000, 8_000)), "PNG")
    assert len(bomb) < 20_000
    with pytest.raises(MediaError, match="64,000,000 pixels; the limit is 10,000,000") as caught:
        open_image(bomb, 10_000_000)
    assert caught.value.code == "too_many_pixels"


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_files_are_errors(form: str, share: float) -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    data = encoded(noise, form)
    with pytest.raises((OSError, MediaError, SyntaxError, ValueError)):
        decode(data[: int(len(data) * share)])


@pytest.mark.parametrize("seed", range(5))
def test_broken_exif_does_not_lose_the_image(seed: int) -> None:
    junk = b"Exif\0\0II*\0\x08\0\0\0" + np.random.default_rng(seed).bytes(64)
    got = decode(encoded(picture(1), exif=junk))
    assert got.width == 48


def test_the_hashes_depend_on_content_and_not_on_bytes() -> None:
    rng = np.random.default_rng(5)
    one, other = (
        Image.fromarray(rng.integers(0, 256, (8, 8, 3), np.uint8)).resize((300, 200)) for _ in "ab"
    )
    parts = [
        decode(data)
        for data in (
            encoded(one, "PNG"),
            encoded(one.resize((600, 400)), quality=60),
            encoded(other, "PNG"),
        )
    ]
    hashes, symmetric = zip(*(part.hashes or (0, 0) for part in parts), strict=True)
    assert (hashes[0] ^ hashes[1]).bit_count() <= 2
    assert (hashes[0] ^ hashes[2]).bit_count() >= 16
    assert symmetric[0] == symmetric[1]
    assert all(part.local_hashes for part in parts)


def test_a_plain_picture_has_no_hashes() -> None:
    part = decode(encoded(Image.new("RGB", (60, 40), "#d02020"), "PNG"))
    assert (part.hashes, part.local_hashes) == (None, None)


def test_random_bytes_are_not_an_image() -> None:
    with pytest.raises(MediaError):
        decode(os.urandom(1000))
