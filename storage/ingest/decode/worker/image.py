"""Decode one image: encoder pixels, thumbnail, perceptual hash and EXIF time."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError, features

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.worker_protocol import ImagePart
from sightline.storage.interfaces import Pixels

THUMBNAIL_EDGE = 256
THUMBNAIL_QUALITY = 80
OCR_EDGE = 2000

_CONTENT_QUALITY = 88
_MIME_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with more images after it, as phones write
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
}
# Pillow supports forty more formats; some start other programs. Only these are tried.
_FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
if features.check("avif"):
    _FORMATS.append("AVIF")

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_EXIF_TIMES = ((0x9003, 0x9011), (0x9004, 0x9012))  # original, then digitized: (time, offset)
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
_HASH_EDGE = 32
_HASH_FREQUENCIES = 8


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


def exif_time(image: Image.Image) -> tuple[str, str | None] | None:
    """Return the EXIF time and its offset as written, or None if missing or broken."""
    try:
        values = image.getexif().get_ifd(_EXIF_IFD)
        for time_tag, offset_tag in _EXIF_TIMES:
            if isinstance(time := values.get(time_tag), str):
                offset = values.get(offset_tag)
                return time, offset if isinstance(offset, str) else None
    except Exception:  # noqa: BLE001 - Pillow raises anything on hostile EXIF
        return None
    return None


def decode_image(
    data: bytes, preprocess: Callable[[Image.Image], Pixels], max_pixels: int
) -> tuple[ImagePart, str]:
    """Decode an image file into its part and MIME type.

    Raises MediaError; on broken files decoders raise other errors too.
    """
    image = open_image(data, max_pixels)
    width, height = image.size
    mime_type = _MIME_TYPES[str(image.format)]
    orientation, time = _orientation(image), exif_time(image)
    # First: the encoder may ask the JPEG decoder for fewer pixels, which the thumbnail then uses.
    pixels = np.ascontiguousarray(preprocess(image), dtype=np.uint8)
    if orientation in _SWAPS_SIDES:
        width, height = height, width
    thumbnail = _thumbnail(image, orientation)
    part = _image_part(pixels, thumbnail, (width, height), kind="image", exif_time=time)
    return part, mime_type


def encode_image(
    image: Image.Image,
    preprocess: Callable[[Image.Image], Pixels],
    *,
    kind: Literal["page", "frame"],
    ordinal: int,
    page: int | None = None,
    frame_seconds: float | None = None,
) -> ImagePart:
    """Return the part of an upright RGB page or frame, with its JPEG as content."""
    content = io.BytesIO()
    image.save(content, "JPEG", quality=_CONTENT_QUALITY)
    pixels = np.ascontiguousarray(preprocess(image.copy()), dtype=np.uint8)
    return _image_part(
        pixels,
        _thumbnail(image.copy(), 1),
        image.size,
        kind=kind,
        ordinal=ordinal,
        content=content.getvalue(),
        page=page,
        frame_seconds=frame_seconds,
    )


def load_upright(data: bytes, max_pixels: int, *, edge: int | None = None) -> Image.Image:
    """Return the whole image, upright, RGB on white.

    With ``edge`` the longer side is at most twice that. Raises MediaError; on broken files decoders
    raise other errors too.
    """
    image = open_image(data, max_pixels)
    orientation = _orientation(image)
    if edge is None:
        return _flatten(image, orientation, image.size)
    image.draft("RGB", (edge, edge))  # a JPEG of 50 megapixels need not be decoded in full size
    return _flatten(image, orientation, (2 * edge, 2 * edge))


def perceptual_hash(image: Image.Image) -> int:
    """Compare the 64 lowest frequencies of a 32 x 32 gray image with their median.

    Returns a signed 64-bit integer, as Postgres stores it. Resizing and recompression flip few
    bits; count them with ``(a ^ b).bit_count()``.
    """
    gray = image.convert("L").resize((_HASH_EDGE, _HASH_EDGE), Image.Resampling.BOX)
    cosines = _cosines()
    values = (cosines @ np.asarray(gray, dtype=np.float64) @ cosines.T).ravel()
    # Without the first coefficient: mean brightness would move the median.
    bits = values > np.partition(values[1:], 31)[31]
    return int.from_bytes(np.packbits(bits).tobytes(), "big", signed=True)


@cache
def _cosines() -> NDArray[np.float64]:
    """Return the first 8 rows of the 32-point DCT-II, shape (8, 32)."""
    k = np.arange(_HASH_FREQUENCIES)[:, None]
    n = np.arange(_HASH_EDGE)[None, :]
    return np.cos(np.pi * k * (2 * n + 1) / (2 * _HASH_EDGE))


def _image_part(
    pixels: Pixels,
    thumbnail: Image.Image,
    size: tuple[int, int],
    *,
    kind: Literal["image", "page", "frame"],
    ordinal: int = 0,
    content: bytes | None = None,
    page: int | None = None,
    frame_seconds: float | None = None,
    exif_time: tuple[str, str | None] | None = None,
) -> ImagePart:
    jpeg = io.BytesIO()
    thumbnail.save(jpeg, "JPEG", quality=THUMBNAIL_QUALITY)
    height, width, channels = pixels.shape
    return ImagePart(
        kind=kind,
        ordinal=ordinal,
        width=size[0],
        height=size[1],
        shape=(height, width, channels),
        thumbnail_size=thumbnail.size,
        perceptual_hash=perceptual_hash(thumbnail),
        pixels=pixels.tobytes(),
        thumbnail=jpeg.getvalue(),
        content=content,
        page=page,
        frame_seconds=frame_seconds,
        exif_time=exif_time,
    )


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - Pillow raises anything on hostile EXIF
        return 1
    return value if isinstance(value, int) else 1


def _thumbnail(image: Image.Image, orientation: int) -> Image.Image:
    return _flatten(image, orientation, (THUMBNAIL_EDGE, THUMBNAIL_EDGE))


def _flatten(image: Image.Image, orientation: int, size: tuple[int, int]) -> Image.Image:
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
    method = _TRANSPOSE.get(orientation)
    if method is not None:
        flat = flat.transpose(method)
    flat.info.clear()
    return flat
