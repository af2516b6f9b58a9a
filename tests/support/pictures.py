"""Pictures for tests, small and each different from the others."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]


def picture(seed: int, size: tuple[int, int] = (48, 32)) -> Image.Image:
    """A picture of four coloured quarters, chosen by ``seed``; other seeds, other bytes."""
    colours = np.random.default_rng(seed).integers(0, 256, (2, 2, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize(size, Image.Resampling.NEAREST)


def encoded(image: Image.Image, form: str = "JPEG", **options: object) -> bytes:
    """The bytes of a picture in a format that Pillow writes."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def jpeg(seed: int) -> bytes:
    """A whole JPEG file."""
    return encoded(picture(seed), quality=90)


def exif(*, taken: str | None = None, offset: str | None = None, orientation: int = 1) -> bytes:
    """EXIF data with the time as a camera writes it."""
    fields = Image.Exif()
    fields[0x0112] = orientation
    inner = fields.get_ifd(0x8769)
    if taken is not None:
        inner[0x9003] = taken
    if offset is not None:
        inner[0x9011] = offset
    return fields.tobytes()


def fill(folder: Path, count: int, start: int = 0) -> list[Path]:
    """``count`` JPEGs in a folder: ``0000.jpg`` and so on, by seed."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{seed:04}.jpg" for seed in range(start, start + count)]
    for seed, path in enumerate(paths, start):
        path.write_bytes(jpeg(seed))
    return paths
