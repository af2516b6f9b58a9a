"""Read camera RAW: its large preview, or the developed sensor data."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.pictures.open_picture import check_size
from sightline.storage.ingest.decode.worker.pictures.rgb_picture import TRANSPOSE, turned

_MIN_PREVIEW_EDGE = 1000  # a smaller preview is only taken if the sensor data cannot be read
_MIN_PREVIEW_SHARE = 0.5
_MAX_WHOLE_PIXELS = 16_000_000  # above, four sensor pixels become one: four times as fast
_ORIENTATION = 0x0112
_FLIPS = {3: 3, 5: 8, 6: 6}  # of LibRaw, as EXIF orientation


def open_raw(data: bytes, max_pixels: int) -> Image.Image:
    """Return the picture, before its EXIF orientation. Raises MediaError."""
    import rawpy

    with rawpy.RawPy() as raw:
        try:
            raw.open_buffer(io.BytesIO(data))
        except rawpy.LibRawError as error:
            raise MediaError("not_an_image", "is not camera RAW that can be read") from error
        sizes = raw.sizes
        size = (sizes.width, sizes.height)
        check_size((sizes.raw_width, sizes.raw_height), max_pixels)
        preview = _preview(raw, size, sizes.flip, max_pixels)
        longer = 0 if preview is None else max(preview.size)
        if preview is not None and (
            longer >= _MIN_PREVIEW_SHARE * max(size) and longer >= min(_MIN_PREVIEW_EDGE, max(size))
        ):
            return preview
        try:
            raw.unpack()
            is_large = size[0] * size[1] > _MAX_WHOLE_PIXELS
            developed = raw.postprocess(use_camera_wb=True, half_size=is_large, output_bps=8)
        except (rawpy.LibRawError, ValueError) as error:
            if preview is None:
                raise MediaError("broken", f"is camera RAW that cannot be read: {error}") from error
            return preview
        return Image.fromarray(developed)


def _preview(raw: Any, size: tuple[int, int], flip: int, max_pixels: int) -> Image.Image | None:
    """Return the largest preview; ``size`` and ``flip`` are those of the sensor data."""
    import rawpy

    try:
        found = raw.extract_thumb()
    except (rawpy.LibRawError, ValueError):
        return None
    if found.format != rawpy.ThumbFormat.JPEG:
        image = Image.fromarray(found.data)
    else:
        try:
            image = Image.open(io.BytesIO(found.data), formats=["JPEG"])
        except (OSError, SyntaxError, Image.DecompressionBombError):
            return None
    check_size(image.size, max_pixels)
    if _ORIENTATION in image.getexif():
        return image
    orientation = _FLIPS.get(flip, 1)
    is_wide, was_wide = image.width > image.height, size[0] > size[1]
    if turned((1, 2), orientation) != (1, 2) and is_wide != was_wide:
        return image  # turned already
    if orientation in TRANSPOSE:
        return image.transpose(TRANSPOSE[orientation])
    return image
