"""Write thousands of JPEG files of mixed sizes, with captions and metadata.

A few dozen images are rendered and encoded. The files are copies of them with different JPEG
comments: every file is new for Sightline, and decoding costs what its size costs.
"""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

#: Width, height and percentage of files.
SIZES = ((320, 240, 20), (640, 480, 25), (1024, 768, 25), (1600, 1200, 20), (3000, 2000, 10))
SMALL_SIZES = ((160, 120, 100),)
_IMAGES_PER_SIZE = 8

_OBJECTS = ("van", "truck", "bicycle", "door", "fence", "crane", "bridge", "lamp", "kettle", "plum")
_COLORS = ("white", "black", "red", "green", "blue", "yellow", "gray", "brown", "silver", "orange")
_PLACES = ("behind a wall", "in the yard", "by the gate", "on a table", "under a tree", "outside")


def write_images(
    folder: Path, count: int, sizes: tuple[tuple[int, int, int], ...] = SIZES, seed: int = 7
) -> int:
    """Write ``count`` files and ``metadata.jsonl``; return the total bytes."""
    folder.mkdir(parents=True)
    rng = random.Random(seed)
    originals = {
        (width, height): [_original(width, height, seed + n) for n in range(_IMAGES_PER_SIZE)]
        for width, height, _ in sizes
    }
    dimensions = [(width, height) for width, height, _ in sizes]
    weights = [weight for _, _, weight in sizes]
    total_bytes = 0
    rows = []
    for number in range(count):
        (size,) = rng.choices(dimensions, weights)
        data = add_comment(rng.choice(originals[size]), f"file {number} of seed {seed}")
        name = f"{number // 1000:03}/{number:06}.jpg"
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        total_bytes += len(data)
        rows.append(
            {"file_name": name, "text": caption(rng), "number": number, "group": number % 20}
        )
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return total_bytes


def caption(rng: random.Random) -> str:
    """Return one of a few thousand sentences."""
    first, second = rng.choice(_COLORS), rng.choice(_COLORS)
    thing, other = rng.sample(_OBJECTS, 2)
    return f"A {first} {thing} and a {second} {other} {rng.choice(_PLACES)}"


def add_comment(jpeg: bytes, comment: str) -> bytes:
    """Insert a comment segment after the first marker of a JPEG."""
    payload = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(payload) + 2).to_bytes(2, "big") + payload + jpeg[2:]


def _original(width: int, height: int, seed: int) -> bytes:
    """Render smooth shapes with noise: about the size in bytes of a photo."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    noise = rng.normal(0, 4, (height, width, 1)).astype(np.int16)
    pixels = np.clip(smooth + noise, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()
