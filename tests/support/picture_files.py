"""Picture files of all formats, and what a worker makes of them."""

from __future__ import annotations

import io
import struct

import numpy as np
import pillow_heif
import pillow_jxl  # noqa: F401 - registers the format
from PIL import Image

from sightline.storage.ingest.decode.render.view import load_view
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.dispatch import run_request
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext
from sightline.storage.ingest.ingest_options import IngestOptions
from tests.support.encoders import color_grid
from tests.support.sample_images import encoded

SIZE = (96, 64)
TOP_LEFT, TOP_RIGHT, BOTTOM = (220, 40, 40), (40, 60, 210), (50, 180, 60)

Color = tuple[int, int, int]


def three_colors(size: tuple[int, int] = SIZE) -> Image.Image:
    """Return a picture whose orientation can be seen: red, blue, and green below."""
    image = Image.new("RGB", size, BOTTOM)
    width, height = size
    image.paste(TOP_LEFT, (0, 0, width // 2, height // 2))
    image.paste(TOP_RIGHT, (width // 2, 0, width, height // 2))
    return image


def decode_file(
    name: str, data: bytes, options: IngestOptions | None = None, **request: object
) -> list[messages.JobPart]:
    """Return what a worker sends for a file."""
    context = WorkerContext(color_grid, options or IngestOptions())
    return list(run_request(messages.DecodeRequest(name, data=data, **request), context))  # type: ignore[arg-type]


def images_of(parts: list[messages.JobPart]) -> list[messages.ImagePart]:
    return [part for part in parts if isinstance(part, messages.ImagePart)]


def warnings_of(parts: list[messages.JobPart]) -> list[messages.PartWarning]:
    return [part for part in parts if isinstance(part, messages.PartWarning)]


def thumbnail_of(part: messages.ImagePart) -> Image.Image:
    return Image.open(io.BytesIO(part.thumbnail)).convert("RGB")


def color_at(image: Image.Image, x: float, y: float) -> Color:
    """Return the color at a place from 0 to 1."""
    found = image.convert("RGB").getpixel((int(x * image.width), int(y * image.height)))
    assert isinstance(found, tuple)
    red, green, blue = found
    return int(red), int(green), int(blue)


def is_near(found: Color, expected: Color, tolerance: int = 24) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(found, expected, strict=True))


def shows_three_colors(image: Image.Image, tolerance: int = 24) -> bool:
    """Return whether a picture shows `three_colors`, upright."""
    return all(
        is_near(color_at(image, x, y), color, tolerance)
        for x, y, color in (
            (0.2, 0.25, TOP_LEFT),
            (0.8, 0.25, TOP_RIGHT),
            (0.2, 0.8, BOTTOM),
            (0.8, 0.8, BOTTOM),
        )
    )


def every_view(name: str, data: bytes) -> list[Image.Image]:
    """Return what search, ingest and the tools see of a file with one picture."""
    (part,) = images_of(decode_file(name, data))
    height, width, _ = part.shape
    pixels = np.frombuffer(part.pixels, np.uint8).reshape(height, width, 3)
    shown, size = load_view(data, 10_000_000, name=name)
    assert shown.size == size == (part.width, part.height)
    return [Image.fromarray(pixels), thumbnail_of(part), shown]


def psd(image: Image.Image) -> bytes:
    """Return a flattened Photoshop document."""
    width, height = image.size
    header = b"8BPS" + struct.pack(">H6xHIIHH", 1, 3, height, width, 8, 3)
    planes = b"".join(band.tobytes() for band in image.convert("RGB").split())
    return header + bytes(4) + bytes(4) + bytes(4) + b"\0\0" + planes


def heic(image: Image.Image, **how: object) -> bytes:
    file = io.BytesIO()
    pillow_heif.from_pillow(image).save(file, quality=95, **how)
    return file.getvalue()


def jxl(image: Image.Image, **how: object) -> bytes:
    return encoded(image, "JXL", quality=95, **how)
