"""Find the film inside a motion photo: a video after or in the picture of a phone."""

from __future__ import annotations

import struct

from sightline.storage.ingest.metadata.media_boxes import outer_boxes

_SEARCHED_BYTES = 128 << 10
_XMP_MARKS = (b"MotionPhoto", b"MicroVideo")
_SAMSUNG_END = b"SEFT"
_MAX_TYPE_BYTES = 256
_NEXT_BOXES = (b"moov", b"mdat", b"free", b"wide", b"uuid", b"skip", b"meta", b"beam")
_PICTURE_BRANDS = (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis")


def motion_film(data: bytes) -> bytes | None:
    """Return the MP4 or QuickTime file inside a JPEG or HEIC, None if there is none.

    Google and Samsung append it to the JPEG; in HEIC it is in a box ``mpvd``.
    """
    if data[4:8] == b"ftyp":
        films = (data[start:end] for kind, start, end in outer_boxes(data) if kind == b"mpvd")
        found = next(films, b"")
        return found if found[4:8] == b"ftyp" else None
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
