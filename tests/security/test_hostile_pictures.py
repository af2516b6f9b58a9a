"""Tiny picture files that claim or hold very many pixels, in each format."""

from __future__ import annotations

import io
import struct
import time
import zlib
from collections.abc import Callable

import pillow_heif
import pillow_jxl  # noqa: F401 - registers the format
import pytest
from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.render.view import load_view
from sightline.storage.ingest.decode.worker.pictures.jpeg_xl import jpeg_xl_size
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.picture_files import decode_file, images_of, psd, three_colors
from tests.support.sample_images import encoded, png_chunk

EDGE, MAX_PIXELS = 1_500, 1_000_000
SECONDS = 5.0


def plain(form: str, mode: str = "RGB") -> bytes:
    return encoded(Image.new(mode, (EDGE, EDGE)), form)


def heic() -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (EDGE, EDGE))).save(file)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """Return a PNG whose size is only claimed."""
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(bytes(100)))
    return b"\x89PNG\r\n\x1a\n" + chunks + png_chunk(b"IEND", b"")


def icon(png: bytes) -> bytes:
    """Return an icon that claims 16 x 16 pixels for a PNG."""
    entry = struct.pack("<BBBBHHII", 16, 16, 0, 0, 1, 32, len(png), 22)
    return struct.pack("<HHH", 0, 1, 1) + entry + png


def lying_psd() -> bytes:
    data = bytearray(psd(three_colors()))
    struct.pack_into(">II", data, 14, 30_000, 30_000)
    return bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "a.jpg": lambda: plain("JPEG"),
    "a.png": lambda: png_header(60_000, 60_000),
    "a.webp": lambda: plain("WEBP"),
    "a.gif": lambda: plain("GIF"),
    "a.bmp": lambda: plain("BMP", "1"),
    "a.tif": lambda: plain("TIFF", "1"),
    "a.avif": lambda: plain("AVIF"),
    "a.heic": heic,
    "a.jxl": lambda: plain("JXL"),
    "a.jp2": lambda: plain("JPEG2000", "L"),
    "a.psd": lying_psd,
    "a.ppm": lambda: b"P6 90000 90000 255\n" + bytes(100),
    "a.pfm": lambda: b"Pf\n90000 90000\n-1.0\n" + bytes(100),
    "a.tga": lambda: b"\0\0\x0a" + bytes(9) + struct.pack("<HHBB", 60_000, 60_000, 24, 0),
    "a.ico": lambda: icon(png_header(60_000, 60_000)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_pictures_with_too_many_pixels_are_refused_in_every_format(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", MAX_PIXELS // 2)  # as workers have it
    data = BOMBS[name]()
    started = time.process_time()
    with pytest.raises(MediaError) as caught:
        decode_file(name, data, IngestOptions(max_pixels=MAX_PIXELS))
    assert caught.value.code == "too_many_pixels", str(caught.value)
    with pytest.raises(MediaError):
        load_view(data, MAX_PIXELS, name=name, max_edge=100)
    assert time.process_time() - started < SECONDS


def test_a_picture_whose_container_understates_its_size_is_no_danger() -> None:
    data = heic()
    size = struct.pack(">II", EDGE, EDGE)
    lying = data.replace(b"ispe\0\0\0\0" + size, b"ispe\0\0\0\0" + struct.pack(">II", 64, 64))
    assert lying != data
    try:
        parts = images_of(decode_file("a.heic", lying))
    except (MediaError, OSError, ValueError):
        return
    assert max(len(part.thumbnail) for part in parts) < 1 << 20


@pytest.mark.parametrize(
    "size",
    [(8, 8), (256, 256), (17, 3), (1440, 1080), (1600, 900), (300, 200), (5000, 3), (80, 64)],
)
def test_the_size_of_jpeg_xl_is_known_before_it_is_decoded(size: tuple[int, int]) -> None:
    for how in ({}, {"use_container": True}):
        assert jpeg_xl_size(encoded(Image.new("RGB", size), "JXL", effort=1, **how)) == size


@pytest.mark.parametrize("name", BOMBS)
def test_mutated_pictures_raise_and_do_not_hang(name: str) -> None:
    """Cut and flipped files of each format end with a result or an error."""
    small: dict[str, Callable[[], bytes]] = {
        "a.ico": lambda: icon(encoded(three_colors(), "PNG")),
        "a.psd": lambda: psd(three_colors()),
    }
    forms = {".jpg": "JPEG", ".tif": "TIFF", ".jp2": "JPEG2000", ".ppm": "PPM", ".pfm": "PPM"}
    suffix = name[1:]
    if name in small:
        data = small[name]()
    elif name == "a.heic":
        file = io.BytesIO()
        pillow_heif.from_pillow(three_colors()).save(file)
        data = file.getvalue()
    else:
        data = encoded(three_colors(), forms.get(suffix, suffix[1:].upper()))
    for share in (0.1, 0.4, 0.7, 0.97):
        at = int(share * len(data))
        flipped = bytearray(data)
        flipped[at] ^= 0xFF
        for bad in (data[:at], bytes(flipped)):
            try:
                decode_file(name, bad)
            except (
                MediaError,
                OSError,
                ValueError,
                SyntaxError,
                EOFError,
                IndexError,
                RuntimeError,
            ):
                continue
