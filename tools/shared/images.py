"""Opening, cropping and encoding the pictures that a client is shown."""

from __future__ import annotations

import io
from dataclasses import dataclass

from PIL import Image

from sightline.storage.errors import InvalidArgumentError, MediaError, shown
from sightline.storage.ingest.decode.image_decoder import Decoder
from sightline.storage.ingest.decode.worker.image import upright

Crop = tuple[float, float, float, float]

#: Tried in turn until the picture fits; below the last one it is made smaller.
_QUALITIES = (88, 80, 70, 60)
_GIVE = "whole JPEG, PNG, WebP, GIF, BMP or TIFF"


@dataclass(frozen=True, slots=True)
class EncodedPicture:
    """A picture as sent: bytes without metadata, and its size in pixels."""

    data: bytes
    mime_type: str
    width: int
    height: int


async def open_hostile(decoder: Decoder, data: bytes, *, edge: int | None = None) -> Image.Image:
    """`open_upright` in a process that may crash or hang at the cost of this call alone.

    Raises MediaError.
    """
    try:
        return await decoder.upright(data, edge=edge)
    except MediaError as error:
        raise MediaError(error.code, f"the file {error}; give a {_GIVE}") from error


def open_upright(data: bytes, *, max_pixels: int, edge: int | None = None) -> Image.Image:
    """Decode a picture that we made to an upright one, RGB on white, as ingest does.

    With ``edge`` the picture is at most twice as long as that, and never enlarged.

    Raises MediaError for anything that is not a whole picture of an allowed format and size.
    """
    try:
        return upright(data, max_pixels, edge=edge)
    except MediaError as error:
        raise MediaError(error.code, f"the file {error}; give a {_GIVE}") from error
    except Exception as error:  # Pillow's decoders raise anything, even struct and index errors
        raise MediaError("not_an_image", f"the picture cannot be decoded: {error}") from error


def parse_crop(box: list[float]) -> Crop:
    """Checked corners of a box; raises InvalidArgumentError with the value."""
    if len(box) != 4:
        raise InvalidArgumentError(
            f"the box {shown(box)} has {len(box)} numbers; it takes four, [x0, y0, x1, y1]"
        )
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1):
        raise InvalidArgumentError(
            f"the box {shown(box)} is not inside the picture: it takes [x0, y0, x1, y1] with "
            "0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1, from the top left corner"
        )
    return x0, y0, x1, y1


def crop(image: Image.Image, box: Crop) -> Image.Image:
    """The part inside ``box``, at least one pixel in each direction."""
    x0, y0, x1, y1 = box
    left, top = int(x0 * image.width), int(y0 * image.height)
    right = max(left + 1, round(x1 * image.width))
    bottom = max(top + 1, round(y1 * image.height))
    left, top = min(left, image.width - 1), min(top, image.height - 1)
    return image.crop((left, top, min(right, image.width), min(bottom, image.height)))


def encode(image: Image.Image, *, max_edge: int, max_bytes: int) -> EncodedPicture:
    """JPEG with its longer edge at most ``max_edge`` pixels and at most ``max_bytes`` bytes.

    A picture is never enlarged. Nothing but pixels is written: no EXIF, no profile, no comment.
    """
    picture = image if image.mode == "RGB" else image.convert("RGB")
    edge = min(max_edge, max(picture.size))
    while True:
        sized = picture
        if edge < max(picture.size):
            sized = picture.copy()
            sized.thumbnail((edge, edge), Image.Resampling.LANCZOS)
        for quality in _QUALITIES:
            buffer = io.BytesIO()
            sized.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= max_bytes:
                return EncodedPicture(buffer.getvalue(), "image/jpeg", sized.width, sized.height)
        if edge <= 16:
            raise MediaError("too_large", f"the picture does not fit in {max_bytes:,} bytes")
        edge = edge * 3 // 4
