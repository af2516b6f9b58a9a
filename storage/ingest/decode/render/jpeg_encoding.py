"""Encode an image as JPEG within a number of bytes."""

from __future__ import annotations

import io

from PIL import Image

from sightline.storage.errors import MediaError

#: JPEG qualities, tried in order until the image fits. Then its size is reduced.
_QUALITIES = (88, 80, 70, 60)
_MIN_EDGE_PIXELS = 16


def encode_jpeg(
    image: Image.Image, *, max_edge: int, max_bytes: int
) -> tuple[bytes, tuple[int, int]]:
    """Return a JPEG without metadata within the limits, and its size."""
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
                return buffer.getvalue(), resized.size
        if edge <= _MIN_EDGE_PIXELS:
            raise MediaError(
                "result_too_large", f"The picture does not fit in {max_bytes:,} bytes."
            )
        edge = edge * 3 // 4
