"""Read IPTC IIM records: title, caption, keywords, place and the day of creation."""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Iterator

from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_KEYWORDS,
    EmbeddedMetadata,
    TimeTag,
)

RESOURCE = 0x0404
"""The image resource of Photoshop that contains the records."""
_UTF8 = b"\x1b%G"
_MARKER = 0x1C
_TITLE, _KEYWORDS, _DATE, _TIME, _AUTHOR = (2, 5), (2, 25), (2, 55), (2, 60), (2, 80)
_PLACES = ((2, 92), (2, 90), (2, 95), (2, 101))  # sublocation, city, state, country
_HEADLINE, _CAPTION = (2, 105), (2, 120)
_MAX_RECORDS = 10_000


def read_iptc(data: bytes) -> EmbeddedMetadata:
    """Return the metadata of records; what follows a broken one is ignored."""
    records: defaultdict[tuple[int, int], list[bytes]] = defaultdict(list)
    for key, value in _records(data):
        if len(records[key]) < 4 * MAX_KEYWORDS:
            records[key].append(value)
    is_utf8 = _UTF8 in records.get((1, 90), ())

    def texts(key: tuple[int, int]) -> list[str]:
        return [text for each in records.get(key, ()) if (text := _decode(each, is_utf8))]

    def text(key: tuple[int, int]) -> str | None:
        return next(iter(texts(key)), None)

    return EmbeddedMetadata(
        title=text(_TITLE) or text(_HEADLINE),
        description=text(_CAPTION),
        keywords=tuple(texts(_KEYWORDS)),
        author=text(_AUTHOR),
        place=tuple(place for key in _PLACES for place in texts(key)[:1]),
        times=tuple(_times(text(_DATE), text(_TIME))),
    )


def _records(data: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    """Yield ((record, dataset), value) of a block of records."""
    place = 0
    for _ in range(_MAX_RECORDS):
        if place + 5 > len(data) or data[place] != _MARKER:
            return
        key = (data[place + 1], data[place + 2])
        size = int.from_bytes(data[place + 3 : place + 5], "big")
        place += 5
        if size & 0x8000:  # the size of the size
            count = size & 0x7FFF
            size = int.from_bytes(data[place : place + min(count, 8)], "big")
            place += count
        if place + size > len(data):
            return
        yield key, data[place : place + size]
        place += size


def find_iptc(resources: bytes) -> bytes:
    """Return the records in a block of Photoshop's image resources, or nothing."""
    place = 0
    while resources[place : place + 4] == b"8BIM" and place + 7 <= len(resources):
        (number,) = struct.unpack_from(">H", resources, place + 4)
        place += 6
        place += (resources[place] | 1) + 1  # a name, padded to an even number of bytes
        size = int.from_bytes(resources[place : place + 4], "big")
        place += 4
        if number == RESOURCE:
            return resources[place : place + size]
        place += size + size % 2
    return b""


def _decode(value: bytes, is_utf8: bool) -> str:
    """Decode a text: marked UTF-8, or what it looks like, as few programs mark it."""
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return value.decode("utf-8" if is_utf8 else "cp1252", "replace")


def _times(date: str | None, time: str | None) -> Iterator[TimeTag]:
    """Yield the time of creation; ``time`` is such as "172210+0200"."""
    if date is None or len(date) != 8 or not date.isdigit() or date.startswith("0000"):
        return
    day = f"{date[:4]}-{date[4:6]}-{date[6:]}"
    clock = (time or "").replace(":", "")
    if clock[:6].isdigit() and len(clock) >= 6:
        offset = f"{clock[6:9]}:{clock[9:11]}" if len(clock) == 11 else None
        yield TimeTag(f"{day}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}", "created", offset)
    else:
        yield TimeTag(day, "created")
