"""Load, decode, crop and encode images."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import anyio.to_thread
from PIL import Image

from sightline.storage.errors import InvalidArgumentError, MediaError, shown
from sightline.storage.ingest.decode.image_decoder import ImageDecoder
from sightline.storage.ingest.decode.worker.image import load_upright
from sightline.storage.records.assets import Asset
from sightline.storage.types import Box

if TYPE_CHECKING:  # imported at runtime it would be a circle
    from sightline.tools.shared.dependencies import Dependencies

#: JPEG qualities, tried in order until the image fits. Then its size is reduced.
_QUALITIES = (88, 80, 70, 60)
_FORMATS = "whole JPEG, PNG, WebP, GIF, BMP or TIFF"


@dataclass(frozen=True, slots=True)
class EncodedImage:
    """Image bytes without metadata, and the size in pixels."""

    data: bytes
    mime_type: str
    width: int
    height: int


async def load_image(deps: Dependencies, asset: Asset) -> Image.Image:
    """Return the upright image of an asset, verified against the ingested bytes.

    Raises MediaError if the file has changed or is gone.
    """
    async with deps.image_threads:
        read = partial(deps.blobs.read, asset.location, asset.sha256, name=asset.source)
        data = await anyio.to_thread.run_sync(read)
        return await decode_untrusted(deps.decoder, data)


async def decode_untrusted(
    decoder: ImageDecoder, data: bytes, *, edge: int | None = None
) -> Image.Image:
    """Decode in a process that may crash or hang. See `decode_upright`."""
    try:
        return await decoder.load_upright(data, edge=edge)
    except MediaError as error:
        raise MediaError(error.code, f"The file {error}. Give a {_FORMATS}.") from error


def decode_upright(data: bytes, *, max_pixels: int, edge: int | None = None) -> Image.Image:
    """Decode an image that we encoded: upright, RGB on white, as in ingest.

    With ``edge`` the image is reduced to at most twice that edge. Raises MediaError for anything
    but a whole image of an allowed format and size.
    """
    try:
        return load_upright(data, max_pixels, edge=edge)
    except MediaError as error:
        raise MediaError(error.code, f"The file {error}. Give a {_FORMATS}.") from error
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


def crop(image: Image.Image, box: Box) -> Image.Image:
    """Return the part inside the normalized box, at least one pixel wide and high."""
    x0, y0, x1, y1 = box
    left, top = int(x0 * image.width), int(y0 * image.height)
    right = max(left + 1, round(x1 * image.width))
    bottom = max(top + 1, round(y1 * image.height))
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, min(right, image.width), min(bottom, image.height)))


def encode(image: Image.Image, *, max_edge: int, max_bytes: int) -> EncodedImage:
    """Encode as JPEG without metadata, reduced to the limits."""
    image = image if image.mode == "RGB" else image.convert("RGB")
    edge = min(max_edge, max(image.size))
    while True:
        resized = image
        if edge < max(image.size):
            resized = image.copy()
            resized.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            resized.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= max_bytes:
                return EncodedImage(buffer.getvalue(), "image/jpeg", resized.width, resized.height)
        if edge <= 16:
            raise MediaError("too_large", f"the image does not fit in {max_bytes:,} bytes")
        edge = edge * 3 // 4
