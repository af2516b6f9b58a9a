"""Decode one image: pixels, thumbnail, hashes and tiles."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image

from sightline.storage.ingest.decode.worker.pictures.open_picture import (
    open_image,
    truncated_allowed,
)
from sightline.storage.ingest.decode.worker.pictures.rgb_picture import (
    flatten,
    is_reducible,
    orientation_of,
    srgb_pixels,
    turned,
)
from sightline.storage.ingest.decode.worker.worker_protocol import ImagePart, TilePart
from sightline.storage.interfaces import Pixels
from sightline.storage.picture_hashes import HASH_EDGE, hash_picture
from sightline.storage.types import Box

OCR_PIXELS = 16_000_000
"""Width times height of an image of which the text is read; a long one keeps its width."""
TILE_SCHEME = "2+3"
"""Stored with a source: tiles along the shorter side. Change it with any change of the boxes."""
TYPICAL_TILES = 16
"""Typical tiles per image: 13 for a square, 18 for 4:3, 26 for 16:9."""

_THUMBNAIL_EDGE = HASH_EDGE
_THUMBNAIL_QUALITY = 80
_CONTENT_QUALITY = 88
_MIN_CONTENT_EDGE = 64
_TILES_ACROSS = (2, 3)
_TILE_OVERLAP = 0.25
_MAX_TILES_ALONG = 3  # times those across; tiles of a longer strip are not square
MAX_TILES = sum(across * across * _MAX_TILES_ALONG for across in _TILES_ACROSS)
"""The most tiles that an image has."""
_MIN_TILE_PIXELS = 64  # smaller tiles add nothing to the whole image


def decode_image(
    image: Image.Image, preprocess: Callable[[Image.Image], Pixels]
) -> tuple[ImagePart, Image.Image | None]:
    """Decode an opened image into its part.

    Also returns it in upright RGB with at most `OCR_PIXELS`; None for most JPEGs, which are decoded
    at a fraction of their size. Broken files raise errors of decoders.
    """
    orientation = orientation_of(image)
    size = turned(image.size, orientation)
    if is_reducible(image):
        # First: the encoder may ask the JPEG decoder for fewer pixels, which the thumbnail then
        # uses.
        pixels = srgb_pixels(preprocess(image), image.info)
        return _image_part(image, orientation, pixels, size, kind="image", ordinal=0), None
    edge = _ocr_edge(image.size)
    image.draft("RGB", (edge, edge))
    upright = flatten(image, orientation, (2 * edge, 2 * edge))
    pixels = preprocess(upright)
    return _image_part(upright.copy(), 1, pixels, size, kind="image", ordinal=0), upright


def encode_image(
    image: Image.Image, preprocess: Callable[[Image.Image], Pixels], max_bytes: int, **facts: Any
) -> ImagePart:
    """Return the part of an upright RGB page or frame, with its JPEG as content.

    The image is reduced until the JPEG has at most ``max_bytes``. ``facts`` are other fields of
    `ImagePart`: kind, ordinal, page or frame_seconds.
    """
    content = _jpeg(image, _CONTENT_QUALITY)
    while len(content) > max_bytes and max(image.size) > _MIN_CONTENT_EDGE:
        scale = max(0.25, 0.9 * (max_bytes / len(content)) ** 0.5)
        width, height = (max(1, round(side * scale)) for side in image.size)
        image = image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=2.0)
        content = _jpeg(image, _CONTENT_QUALITY)
    pixels = preprocess(image.copy())
    return _image_part(image.copy(), 1, pixels, image.size, content=content, **facts)


def load_upright(
    data: bytes,
    max_pixels: int,
    *,
    edge: int | None = None,
    for_ocr: bool = False,
    name: str = "",
) -> Image.Image:
    """Return the whole image, upright RGB; see `flatten`.

    Of a truncated file, what is there.
    With ``edge`` the longer side is at most twice that, and ``for_ocr`` with `OCR_PIXELS` at most.
    Raises MediaError; on broken files decoders raise other errors too.
    """
    with truncated_allowed():
        image = open_image(data, max_pixels, name)
        size = image.size
        if for_ocr:
            edge = _ocr_edge(size)
        if edge is not None:
            image.draft("RGB", (edge, edge))  # a JPEG of 50 megapixels need not be decoded fully
            size = (2 * edge, 2 * edge)
        return flatten(image, orientation_of(image), size)


def _ocr_edge(size: tuple[int, int]) -> int:
    """Return half of the longer side of an image with `OCR_PIXELS` at most."""
    scale = min(1.0, math.sqrt(OCR_PIXELS / (size[0] * size[1])))
    return math.ceil(max(size) * scale / 2)


def _image_part(
    image: Image.Image, orientation: int, pixels: Pixels, size: tuple[int, int], **facts: Any
) -> ImagePart:
    thumbnail = flatten(image, orientation, (_THUMBNAIL_EDGE, _THUMBNAIL_EDGE))
    hashes = hash_picture(thumbnail)
    height, width, channels = pixels.shape
    return ImagePart(
        width=size[0],
        height=size[1],
        shape=(height, width, channels),
        thumbnail_size=thumbnail.size,
        pixels=pixels.astype(np.uint8, copy=False).tobytes(),
        thumbnail=_jpeg(thumbnail, _THUMBNAIL_QUALITY),
        hashes=hashes and (hashes.perceptual, hashes.symmetric),
        local_hashes=hashes and hashes.local,
        **facts,
    )


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def tile_boxes(width: int, height: int) -> list[Box]:
    """Return normalized boxes of the tiles of an image, large ones first, row by row.

    ``width`` and ``height`` are in pixels. Empty if the image is too small. Neighbors overlap by a
    quarter, so that something cut by one tile is whole in the next. Tiles of common shapes are
    square, because encoders squeeze or crop other shapes.
    """
    shorter, longer = sorted((width, height))
    boxes: list[Box] = []
    for across in _TILES_ACROSS:
        edge = shorter * _tile_share(across)
        if edge < _MIN_TILE_PIXELS:
            break
        fitting = round((longer / edge - _TILE_OVERLAP) / (1 - _TILE_OVERLAP))
        along = min(max(fitting, across), across * _MAX_TILES_ALONG)
        columns, rows = (along, across) if width >= height else (across, along)
        boxes += [
            (x0, y0, x1, y1) for y0, y1 in _tile_spans(rows) for x0, x1 in _tile_spans(columns)
        ]
    return boxes


def cut_tiles(
    image: Image.Image, asset: int, preprocess: Callable[[Image.Image], Pixels]
) -> Iterator[TilePart]:
    """Yield the tiles of an upright RGB image; ``asset`` is the image's ordinal."""
    for ordinal, box in enumerate(tile_boxes(*image.size)):
        x0, y0, x1, y1 = box
        left, right = round(x0 * image.width), round(x1 * image.width)
        top, bottom = round(y0 * image.height), round(y1 * image.height)
        pixels = preprocess(image.crop((left, top, right, bottom)))
        height, width, channels = pixels.shape
        yield TilePart(asset, ordinal, box, (height, width, channels), pixels.tobytes())


def _tile_share(count: int) -> float:
    """Return the share of a side that one of ``count`` overlapping tiles covers."""
    return 1 / (count - (count - 1) * _TILE_OVERLAP)


def _tile_spans(count: int) -> list[tuple[float, float]]:
    share = _tile_share(count)
    step = (1 - share) / (count - 1)
    return [(index * step, min(1.0, index * step + share)) for index in range(count)]
