"""Decode one picture: what the encoder sees, a thumbnail, and what the file says of itself."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, UnidentifiedImageError, features

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.perceptual_hash import perceptual_hash
from sightline.storage.interfaces import Pixels

THUMBNAIL_EDGE = 256
THUMBNAIL_QUALITY = 80
READ_EDGE = 2000

_MIME_TYPES = {
    "JPEG": "image/jpeg",
    "MPO": "image/jpeg",  # a JPEG with more behind it, as telephones write
    "PNG": "image/png",
    "WEBP": "image/webp",
    "GIF": "image/gif",
    "BMP": "image/bmp",
    "TIFF": "image/tiff",
    "AVIF": "image/avif",
    "HEIF": "image/heif",
}
# Pillow knows forty more formats, some of which start other programs: only these are tried.
_FORMATS = ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"]
if features.check("avif"):
    _FORMATS.append("AVIF")

_ORIENTATION, _EXIF_IFD = 0x0112, 0x8769
_TAKEN = ((0x9003, 0x9011), (0x9004, 0x9012))  # original, then digitised: time and its offset
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TURNED = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Picture:
    """A decoded picture. Width and height are in pixels, upright.

    ``pixels`` is what the encoder takes, uint8 (height, width, 3); ``taken`` is the EXIF time and
    its offset as written, or None.
    """

    pixels: Pixels
    width: int
    height: int
    mime_type: str
    thumbnail: bytes
    thumbnail_size: tuple[int, int]
    perceptual_hash: int
    taken: tuple[str, str | None] | None


def open_picture(data: bytes, max_pixels: int) -> Image.Image:
    """Look at the header alone. Raises MediaError ``not_an_image`` or ``too_many_pixels``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # our own limit follows, and it is an error
            image = Image.open(io.BytesIO(data), formats=_FORMATS)
    except UnidentifiedImageError as error:
        raise MediaError("not_an_image", "is not a picture of a known format") from error
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


def taken(image: Image.Image) -> tuple[str, str | None] | None:
    """The EXIF time and its offset, as written; None where there is none or it is broken."""
    try:
        fields = image.getexif().get_ifd(_EXIF_IFD)
        for time, offset in _TAKEN:
            if isinstance(value := fields.get(time), str):
                zone = fields.get(offset)
                return value, zone if isinstance(zone, str) else None
    except Exception:  # noqa: BLE001 - Pillow parses hostile EXIF with whatever it raises
        return None
    return None


def read_picture(
    data: bytes, preprocess: Callable[[Image.Image], Pixels], max_pixels: int
) -> Picture:
    """Decode ``data``. Raises MediaError; the decoders raise much else on broken files."""
    image = open_picture(data, max_pixels)
    width, height = image.size
    mime_type = _MIME_TYPES[str(image.format)]
    orientation, when = _orientation(image), taken(image)
    # The encoder goes first: if it asks the JPEG decoder for fewer pixels, all profit.
    pixels = np.ascontiguousarray(preprocess(image), dtype=np.uint8)
    small = _thumbnail(image, orientation)
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=THUMBNAIL_QUALITY)
    if orientation in _TURNED:
        width, height = height, width
    return Picture(
        pixels=pixels,
        width=width,
        height=height,
        mime_type=mime_type,
        thumbnail=jpeg.getvalue(),
        thumbnail_size=small.size,
        perceptual_hash=perceptual_hash(small),
        taken=when,
    )


def made_picture(image: Image.Image, preprocess: Callable[[Image.Image], Pixels]) -> Picture:
    """Of an upright RGB picture that was rendered or decoded here; it stays as it is."""
    pixels = np.ascontiguousarray(preprocess(image.copy()), dtype=np.uint8)
    small = _thumbnail(image.copy(), 1)
    jpeg = io.BytesIO()
    small.save(jpeg, "JPEG", quality=THUMBNAIL_QUALITY)
    return Picture(
        pixels=pixels,
        width=image.width,
        height=image.height,
        mime_type="image/jpeg",
        thumbnail=jpeg.getvalue(),
        thumbnail_size=small.size,
        perceptual_hash=perceptual_hash(small),
        taken=None,
    )


def upright(data: bytes, max_pixels: int, *, edge: int | None = None) -> Image.Image:
    """The whole picture in RGB on white, upright; with ``edge`` at most twice as long as that.

    Raises MediaError; the decoders raise much else on broken files.
    """
    image = open_picture(data, max_pixels)
    orientation = _orientation(image)
    if edge is None:
        return _flat(image, orientation, image.size)
    image.draft("RGB", (edge, edge))  # a JPEG of 50 megapixels need not be decoded whole
    return _flat(image, orientation, (2 * edge, 2 * edge))


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_ORIENTATION, 1)
    except Exception:  # noqa: BLE001 - as above
        return 1
    return value if isinstance(value, int) else 1


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey (X-rays, depth maps) scaled to 8 bits; Pillow alone would clip it to white."""
    return Image.fromarray((np.asarray(image, dtype=np.uint16) >> 8).astype(np.uint8))


def _thumbnail(image: Image.Image, orientation: int) -> Image.Image:
    """At most 256 pixels long, upright, RGB on white, without EXIF."""
    return _flat(image, orientation, (THUMBNAIL_EDGE, THUMBNAIL_EDGE))


def _flat(image: Image.Image, orientation: int, size: tuple[int, int]) -> Image.Image:
    """At most of ``size`` before it is turned upright, RGB on white, without EXIF."""
    if image.mode.startswith("I;16"):
        image = _eight_bits(image)
    elif image.mode in ("P", "1", "I", "F") or "transparency" in image.info:
        image = image.convert("RGBA")
    # Averaged by whole numbers first: a third of the time of one resize, and as good to the eye.
    image.thumbnail(size, Image.Resampling.BILINEAR, reducing_gap=1.0)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        rgba = image.convert("RGBA")
        small = Image.new("RGB", rgba.size, "white")
        small.paste(rgba, mask=rgba.getchannel("A"))
    else:
        small = image.convert("RGB")
    method = _UPRIGHT.get(orientation)
    if method is not None:
        small = small.transpose(method)
    small.info.clear()
    return small
