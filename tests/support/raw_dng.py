"""Minimal DNG files: sensor data of three colors, with or without a preview."""

from __future__ import annotations

import io
import struct

import numpy as np
from PIL import Image

from tests.support.picture_files import three_colors

SHORT, LONG, RATIONAL, SIGNED_RATIONAL, BYTE, ASCII = 3, 4, 5, 10, 1, 2
_FORMATS = {SHORT: "H", LONG: "I", BYTE: "B", ASCII: "B"}
_XYZ_TO_SRGB = (3.2406, -1.5372, -0.4986, -0.9689, 1.8758, 0.0415, 0.0557, -0.204, 1.057)

Tag = tuple[int, int, list[int]]


def dng(
    size: tuple[int, int] = (320, 240),
    *,
    preview: Image.Image | None = None,
    orientation: int = 1,
    claimed: tuple[int, int] | None = None,
) -> bytes:
    """Return a DNG whose sensor shows `three_colors`; ``claimed`` is a size in its header."""
    shown = np.asarray(three_colors(size), np.float32) / 255
    linear = (shown**2.2 * 60_000).astype("<u2")
    mosaic = linear[..., 1].copy()
    mosaic[::2, ::2], mosaic[1::2, 1::2] = linear[::2, ::2, 0], linear[1::2, 1::2, 2]
    width, height = claimed or size
    file = bytearray(b"II*\0\0\0\0\0")
    offset = len(file)
    file += mosaic.tobytes()
    tags: list[Tag] = [
        (254, LONG, [0]),
        (256, LONG, [width]),
        (257, LONG, [height]),
        (258, SHORT, [16]),
        (259, SHORT, [1]),
        (262, SHORT, [32803]),
        (273, LONG, [offset]),
        (274, SHORT, [orientation]),
        (277, SHORT, [1]),
        (278, LONG, [height]),
        (279, LONG, [2 * width * height]),
        (33421, SHORT, [2, 2]),
        (33422, BYTE, [0, 1, 1, 2]),
        (50714, LONG, [0]),
        (50717, LONG, [60_000]),
    ]
    common: list[Tag] = [
        (271, ASCII, [*b"Maker\0"]),
        (272, ASCII, [*b"Model 5\0"]),
        (274, SHORT, [orientation]),
        (306, ASCII, [*b"2024:05:03 17:22:10\0"]),
        (50706, BYTE, [1, 4, 0, 0]),
        (50708, ASCII, [*b"Maker Model 5\0"]),
        (50721, SIGNED_RATIONAL, [v for x in _XYZ_TO_SRGB for v in (round(x * 10_000), 10_000)]),
        (50728, RATIONAL, [1, 1, 1, 1, 1, 1]),
        (50778, SHORT, [21]),
    ]
    if preview is None:
        main = {tag[0]: tag for tag in (*tags, *common)}
    else:
        jpeg = io.BytesIO()
        preview.save(jpeg, "JPEG", quality=95)
        at = len(file)
        file += jpeg.getvalue() + bytes(len(jpeg.getvalue()) % 2)
        sub = _add(file, tags)
        first: list[Tag] = [
            (254, LONG, [1]),
            (256, LONG, [preview.width]),
            (257, LONG, [preview.height]),
            (258, SHORT, [8, 8, 8]),
            (259, SHORT, [7]),
            (262, SHORT, [6]),
            (273, LONG, [at]),
            (277, SHORT, [3]),
            (278, LONG, [preview.height]),
            (279, LONG, [len(jpeg.getvalue())]),
            (330, LONG, [sub]),
        ]
        main = {tag[0]: tag for tag in (*first, *common)}
    struct.pack_into("<I", file, 4, _add(file, list(main.values())))
    return bytes(file)


def _add(file: bytearray, tags: list[Tag]) -> int:
    """Append a directory and return its offset."""
    entries = b""
    for number, kind, values in sorted(tags):
        if kind in (RATIONAL, SIGNED_RATIONAL):
            letter, count = ("I" if kind == RATIONAL else "i"), len(values) // 2
        else:
            letter, count = _FORMATS[kind], len(values)
        packed = struct.pack(f"<{len(values)}{letter}", *values)
        if len(packed) > 4:
            place = len(file)
            file += packed + bytes(len(packed) % 2)
            packed = struct.pack("<I", place)
        entries += struct.pack("<HHI", number, kind, count) + packed.ljust(4, b"\0")
    offset = len(file)
    file += struct.pack("<H", len(tags)) + entries + bytes(4)
    return offset
