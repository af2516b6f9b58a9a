"""Small, distinct images for tests."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]


def picture(seed: int, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """Return an image with four colored quarters, chosen by ``seed``."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    """Encode an image in a Pillow format."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def jpeg(seed: int) -> bytes:
    """Return a JPEG file."""
    return encoded(picture(seed), quality=90)


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a chunk of a PNG file."""
    checksum = struct.pack(">I", zlib.crc32(kind + data))
    return struct.pack(">I", len(data)) + kind + data + checksum


def exif(*, taken: str | None = None, offset: str | None = None, orientation: int = 1) -> bytes:
    """Return EXIF data with capture time and orientation."""
    fields = Image.Exif()
    fields[0x0112] = orientation
    inner = fields.get_ifd(0x8769)
    if taken is not None:
        inner[0x9003] = taken
    if offset is not None:
        inner[0x9011] = offset
    return fields.tobytes()


def fill(folder: Path, count: int, start: int = 0) -> list[Path]:
    """Write ``count`` JPEGs: ``0000.jpg``, ``0001.jpg``, ..., by seed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed:04}.jpg" for seed in range(start, start + count)]
    for seed, path in enumerate(paths, start):
        path.write_bytes(jpeg(seed))
    return paths
