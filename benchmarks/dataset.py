"""JPEGs of mixed sizes by the thousand, with captions and metadata.

A few dozen pictures are drawn and encoded; the files are copies of them that differ in a JPEG
comment. To Sightline every file is new, and it costs what its size costs to decode.
"""

from __future__ import annotations

import io
import json
import random
from pathlib import Path

import numpy as np
from PIL import Image

#: Width, height, and how many of a hundred files have it: telephones, cameras, the web.
SIZES = ((320, 240, 20), (640, 480, 25), (1024, 768, 25), (1600, 1200, 20), (3000, 2000, 10))
SMALL = ((160, 120, 100),)
_DRAWN_OF_EACH = 8

_THINGS = ("van", "truck", "bicycle", "door", "fence", "crane", "bridge", "lamp", "kettle", "plum")
_COLOURS = ("white", "black", "red", "green", "blue", "yellow", "grey", "brown", "silver", "orange")
_PLACES = ("behind a wall", "in the yard", "by the gate", "on a table", "under a tree", "outside")


def draw(
    folder: Path, count: int, sizes: tuple[tuple[int, int, int], ...] = SIZES, seed: int = 7
) -> int:
    """Write ``count`` files with a ``metadata.jsonl``; returns their bytes."""
    folder.mkdir(parents=True)
    chance = random.Random(seed)
    masters = {
        (width, height): [_master(width, height, seed + n) for n in range(_DRAWN_OF_EACH)]
        for width, height, _ in sizes
    }
    wanted = [(width, height) for width, height, _ in sizes]
    weights = [weight for _, _, weight in sizes]
    written = 0
    rows = []
    for number in range(count):
        (size,) = chance.choices(wanted, weights)
        data = commented(chance.choice(masters[size]), f"file {number} of seed {seed}")
        name = f"{number // 1000:03}/{number:06}.jpg"
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(data)
        written += len(data)
        rows.append(
            {"file_name": name, "text": caption(chance), "number": number, "group": number % 20}
        )
    (folder / "metadata.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return written


def caption(chance: random.Random) -> str:
    """A sentence of a few thousand that there are."""
    first, second = chance.choice(_COLOURS), chance.choice(_COLOURS)
    thing, other = chance.sample(_THINGS, 2)
    return f"A {first} {thing} and a {second} {other} {chance.choice(_PLACES)}"


def commented(jpeg: bytes, comment: str) -> bytes:
    """The JPEG with a comment segment behind its first marker: other bytes, the same picture."""
    payload = comment.encode()
    return jpeg[:2] + b"\xff\xfe" + (len(payload) + 2).to_bytes(2, "big") + payload + jpeg[2:]


def _master(width: int, height: int, seed: int) -> bytes:
    """Soft shapes with grain: about as many bytes as a photograph of the size has."""
    rng = np.random.default_rng(seed)
    shapes = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
    large = np.asarray(shapes.resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    grain = rng.normal(0, 4, (height, width, 1)).astype(np.int16)
    pixels = np.clip(large + grain, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue()
