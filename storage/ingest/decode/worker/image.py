"""Decode one image: pixels, thumbnail, hashes and tiles."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.worker_protocol import ImagePart, TilePart
from sightline.storage.ingest.formats import formats_of
from sightline.storage.interfaces import Pixels
from sightline.storage.picture_hashes import HASH_EDGE, hash_picture
from sightline.storage.types import Box

OCR_EDGE = 2000
TILE_SCHEME = "2+3"
"""Stored with a source: tiles along the shorter side. Change it with any change of the boxes."""
TYPICAL_TILES = 16
"""Typical tiles per image: 13 for a square, 18 for 4:3, 26 for 16:9."""

_THUMBNAIL_EDGE = HASH_EDGE
_THUMBNAIL_QUALITY = 80
_CONTENT_QUALITY = 88
_MIN_CONTENT_EDGE = 64
# Pillow supports forty more formats; some start other programs. Only these are tried.
_FORMATS = [each.decoder for each in formats_of("image")]

_ORIENTATION = 0x0112
_TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SWAPS_SIDES = (5, 6, 7, 8)
_TILES_ACROSS = (2, 3)
_TILE_OVERLAP = 0.25
_MAX_TILES_ALONG = 3  # times those across; tiles of a longer strip are not square
MAX_TILES = sum(across * across * _MAX_TILES_ALONG for across in _TILES_ACROSS)
"""The most tiles that an image has."""
_MIN_TILE_PIXELS = 64  # smaller tiles add nothing to the whole image


def open_image(data: bytes, max_pixels: int) -> Image.Image:
    """Parse the header only. Raises ``not_an_image`` or ``too_many_pixels``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit below is an error
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise MediaError("not_an_image", "is not an image of a supported format") from error
    except Image.DecompressionBombError as error:  # where Pillow's own limit is still set
        raise MediaError(
            "too_many_pixels", f"has far more pixels than the limit of {max_pixels:,}"
        ) from error
    width, height = image.size
    if width * height > max_pixels:
        raise MediaError(
            "too_many_pixels",
            f"has {width:,} x {height:,} = {width * height:,} pixels; the limit is {max_pixels:,}",
        )
    return image


def decode_image(
    data: bytes, preprocess: Callable[[Image.Image], Pixels], max_pixels: int
) -> ImagePart:
    """Decode an image file into its part.

    Raises MediaError; on broken files decoders raise other errors too.
    """
    image = open_image(data, max_pixels)
    width, height = image.size
    orientation = orientation_of(image)
    # First: the encoder may ask the JPEG decoder for fewer pixels, which the thumbnail then uses.
    pixels = preprocess(image)
    size = turned((width, height), orientation)
    return _image_part(image, orientation, pixels, size, kind="image", ordinal=0)


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


def load_upright(data: bytes, max_pixels: int, *, edge: int | None = None) -> Image.Image:
    """Return the whole image, upright, RGB on white.

    With ``edge`` the longer side is at most twice that. Raises MediaError; on broken files decoders
    raise other errors too.
    """
    image = open_image(data, max_pixels)
    size = image.size
    if edge is not None:
        image.draft("RGB", (edge, edge))  # a JPEG of 50 megapixels need not be decoded fully
        size = (2 * edge, 2 * edge)
    return flatten(image, orientation_of(image), size)


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


def orientation_of(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 if it is missing or broken."""
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow raises anything on hostile EXIF
        return 1
    return value if isinstance(value, int) else 1


def turned(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """Return the size of the upright image."""
    return (size[1], size[0]) if orientation in _SWAPS_SIDES else size


def flatten(image: Image.Image, orientation: int, size: tuple[int, int]) -> Image.Image:
    """Return the image upright, RGB on white; ``size`` bounds it before turning."""
    if image.mode.startswith("I;16"):
        # 16-bit gray (X-rays, depth maps): Pillow alone would clip it to white.
        image = Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8))
    elif image.mode in ("P", "1", "I", "F") or "transparency" in image.info:
        image = image.convert("RGBA")
    # reducing_gap averages whole pixels first: a third of the time, and it looks as good.
    image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        flat = Image.new("RGB", rgba.size, "white")
        flat.paste(rgba, mask=rgba.getchannel("A"))
    else:
        flat = image.convert("RGB")
    if orientation in _TRANSPOSE:
        flat = flat.transpose(_TRANSPOSE[orientation])
    flat.info.clear()
    return flat


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
