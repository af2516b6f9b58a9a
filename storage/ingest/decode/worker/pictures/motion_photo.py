"""Find the film inside a motion photo: a video after or in the picture of a phone."""

from __future__ import annotations

import struct

_SEARCHED_BYTES = 128 << 10
_XMP_MARKS = (b"MotionPhoto", b"MicroVideo")
_SAMSUNG_END = b"SEFT"
_MAX_TYPE_BYTES = 256
_NEXT_BOXES = (b"moov", b"mdat", b"free", b"wide", b"uuid", b"skip", b"meta", b"beam")
_MAX_BOXES = 1_000
_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")


def motion_film(data: bytes) -> bytes | None:
    """Return the MP4 or QuickTime file inside a JPEG or HEIC, None if there is none.

    Google and Samsung append it to the JPEG; in HEIC it is in a box ``mpvd``.
    """
    if data[4:8] == b"ftyp":
        found = _box(data, b"mpvd")
        return found if found is not None and found[4:8] == b"ftyp" else None
    is_marked = any(mark in data[:_SEARCHED_BYTES] for mark in _XMP_MARKS)
    if not is_marked and data[-4:] != _SAMSUNG_END:
        return None
    at = data.rfind(b"ftyp")
    while at >= 4:
        start = at - 4
        (size,) = struct.unpack_from(">I", data, start)
        after = data[start + size + 4 : start + size + 8]
        if 8 <= size <= _MAX_TYPE_BYTES and after in _NEXT_BOXES:
            brand = data[at + 4 : at + 8]
            return None if brand in _PICTURE_BRANDS else data[start:]
        at = data.rfind(b"ftyp", 0, at)
    return None


def _box(data: bytes, name: bytes) -> bytes | None:
    """Return the content of a box on the top level."""
    at = 0
    for _ in range(_MAX_BOXES):
        if at + 8 > len(data):
            return None
        size, kind = struct.unpack_from(">I4s", data, at)
        header = 8
        if size == 1 and at + 16 <= len(data):
            (size,) = struct.unpack_from(">Q", data, at + 8)
            header = 16
        if size == 0:
            size = len(data) - at
        if size < header:
            return None
        if kind == name:
            return data[at + header : at + size]
        at += size
    return None
