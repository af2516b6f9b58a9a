"""Decode, crop and encode images that we made ourselves.

`image_loading` decodes the images of callers and collections in worker processes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from PIL import Image

from sightline.storage.errors import InvalidArgumentError, MediaError, shown
from sightline.storage.ingest.decode.render.jpeg_encoding import encode_jpeg
from sightline.storage.ingest.decode.render.view_geometry import crop_pixels
from sightline.storage.types import Box

_MAX_CORNER_CHARS: Final = 40
FORMATS = "whole JPEG, PNG, WebP, HEIC, TIFF, SVG or another picture that is read"


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """Image bytes without metadata, and the size in pixels; ``note`` for results."""

    data: bytes
    mime_type: str
    width: int
    height: int
    note: str | None = None


def decode_upright(data: bytes, *, max_pixels: int, edge: int | None = None) -> Image.Image:
    """Decode an image that we encoded: upright, RGB on white, as in ingest.

    With ``edge`` the image is reduced to at most twice that edge. Raises MediaError for anything
    but a whole image of an allowed format and size.
    """
    # Imports numpy, for which the handshake must not wait.
    from sightline.storage.ingest.decode.worker.image import load_upright

    try:
        return load_upright(data, max_pixels, edge=edge)
    except MediaError as error:
        raise MediaError(error.code, f"The file {error}. Give a {FORMATS}.") from error
    except Exception as error:  # Pillow's decoders raise any exception
        raise MediaError("not_an_image", f"the image cannot be decoded: {error}") from error


def parse_box(box: Sequence[float]) -> Box:
    """Validate a normalized box. Raises InvalidArgumentError."""
    if len(box) != 4:
        raise InvalidArgumentError(
            f"The box {shown(box)} has {len(box)} numbers. Give four: [x0, y0, x1, y1]."
        )
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise InvalidArgumentError(
            f"The box {shown(box)} is not inside the image. Give [x0, y0, x1, y1] with "
            "0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, from the top left corner."
        )
    return x0, y0, x1, y1


def format_corners(box: Box) -> str:
    """Return ``x0,y0,x1,y1`` for a URI."""
    return ",".join(f"{value:.6g}" for value in box)


def parse_corners(corners: Sequence[str]) -> Box:
    """Parse the parts of `format_corners`. Raises InvalidArgumentError."""
    try:
        box = [float(corner[:_MAX_CORNER_CHARS]) for corner in corners]
    except ValueError as error:
        raise InvalidArgumentError(
            f"{shown(','.join(corners))} is not a box. Give x0,y0,x1,y1 from 0 to 1, such as "
            "0.1,0.2,0.5,0.4."
        ) from error
    return parse_box(box)


def crop(image: Image.Image, box: Box) -> Image.Image:
    """Return the part inside the normalized box, at least one pixel wide and high."""
    return image.crop(crop_pixels(image.size, box))


def encode(image: Image.Image, *, max_edge: int, max_bytes: int) -> EncodedImage:
    """Encode an image that we made as JPEG, reduced to the limits. Raises MediaError."""
    data, (width, height) = encode_jpeg(image, max_edge=max_edge, max_bytes=max_bytes)
    return EncodedImage(data, "image/jpeg", width, height)
