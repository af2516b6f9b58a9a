"""Find the boxes of ISO media files, such as HEIC, JPEG XL, JPEG 2000 and MP4."""

from __future__ import annotations

from collections.abc import Iterator

_MAX_BOXES = 100_000


def outer_boxes(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield (type, start, end) of the content of the outer boxes, up to a broken one."""
    place = 0
    for _ in range(_MAX_BOXES):
        size, kind = int.from_bytes(data[place : place + 4], "big"), data[place + 4 : place + 8]
        start = place + 8
        if size == 1:
            size, start = int.from_bytes(data[start : start + 8], "big"), start + 8
        end = place + size if size else len(data)
        if len(kind) < 4 or end < start:
            return
        yield kind, start, min(end, len(data))
        place = end
