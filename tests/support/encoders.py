"""A small deterministic encoder without weights.

Images become the mean colors of a 4 x 4 grid, texts a hashed bag of words. They share a dimension
but no meaning: a text query finds an image only through its caption, an image query finds images
with similar colors.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Sequence

import numpy as np
from PIL import Image, ImageOps

from sightline.storage.interfaces import EncoderIdentity, Pixels, Vectors

GRID = 4
EDGE = 32
DIMENSION = GRID * GRID * 3

_WORD = re.compile(r"\w+")


def color_grid(image: Image.Image) -> Pixels:
    """Return the upright image on white as uint8 of shape (32, 32, 3)."""
    upright = ImageOps.exif_transpose(image)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        rgba = upright.convert("RGBA")
        flat = Image.new("RGBA", rgba.size, "white")
        flat.alpha_composite(rgba)
        upright = flat
    small = upright.convert("RGB").resize((EDGE, EDGE), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.uint8)


class ColorHistogramEncoder:
    """Implements `ImageEncoder`: mean colors on a grid, hashed bag of words."""

    @property
    def identity(self) -> EncoderIdentity:
        return EncoderIdentity(
            name="test-color-histogram",
            weights=hashlib.sha256(b"none").hexdigest()[:16],
            preprocessing=hashlib.sha256(b"box-32").hexdigest()[:16],
            dimension=DIMENSION,
        )

    @property
    def preprocess(self) -> Callable[[Image.Image], Pixels]:
        return color_grid

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return unit vectors of shape (n, 48): cell colors relative to mid-gray."""
        if not pixels:
            return np.zeros((0, DIMENSION), dtype=np.float32)
        stack = np.stack(pixels).astype(np.float32)
        cell = EDGE // GRID
        cells = stack.reshape(len(stack), GRID, cell, GRID, cell, 3).mean(axis=(2, 4))
        return _unit(cells.reshape(len(stack), -1) - 127.25)

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of shape (n, 48): words hashed to signed indexes."""
        vectors = np.zeros((len(texts), DIMENSION), dtype=np.float32)
        for row, text in zip(vectors, texts, strict=True):
            row[0] = 1e-3  # a text without words still has a direction
            for word in _WORD.findall(text.lower()):
                digest = hashlib.sha256(word.encode()).digest()
                row[int.from_bytes(digest[:4], "big") % DIMENSION] += 1 if digest[4] & 1 else -1
        return _unit(vectors)


def _unit(vectors: Vectors) -> Vectors:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.maximum(norms, 1e-12), dtype=np.float32)


class BrightnessEncoder(ColorHistogramEncoder):
    """Another encoder: brightness of the cells. It knows no word with a digit."""

    @property
    def identity(self) -> EncoderIdentity:
        return EncoderIdentity("test-brightness", "b" * 16, "b" * 16, GRID * GRID)

    async def encode_images(self, pixels: Sequence[Pixels]) -> Vectors:
        """Return unit vectors of shape (n, 16)."""
        colors = await super().encode_images(pixels)
        return _unit(colors.reshape(len(colors), GRID * GRID, 3).sum(axis=2) + 1e-3)

    async def encode_texts(self, texts: Sequence[str]) -> Vectors:
        """Return unit vectors of shape (n, 16); zero for a text without a known word."""
        known = [" ".join(re.findall(r"\b[^\W\d]+\b", text)) for text in texts]
        vectors = await super().encode_texts(known)
        folded = _unit(vectors.reshape(len(vectors), 3, GRID * GRID).sum(axis=1))
        folded[[not text for text in known]] = 0
        return folded
