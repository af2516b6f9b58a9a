"""Boxes of ISO media files."""

from __future__ import annotations

import pytest

from sightline.storage.ingest.metadata.media_boxes import outer_boxes


def box(kind: bytes, content: bytes = b"") -> bytes:
    return (8 + len(content)).to_bytes(4, "big") + kind + content


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (box(b"free") + box(b"xml ", b"<x/>"), [(b"free", b""), (b"xml ", b"<x/>")]),
        (bytes([0, 0, 0, 1]) + b"uuid" + (18).to_bytes(8, "big") + b"ab", [(b"uuid", b"ab")]),
        (bytes(4) + b"mdat" + b"to the end", [(b"mdat", b"to the end")]),
        (b"\xff\xff\xff\xffmdatcut", [(b"mdat", b"cut")]),
        (box(b"free") + b"\0\0\0\7xml ", [(b"free", b"")]),
        (b"\0\0", []),
    ],
    ids=["empty", "long", "rest", "cut", "too small", "no header"],
)
def test_boxes_are_found(data: bytes, found: list[tuple[bytes, bytes]]) -> None:
    assert [(kind, data[start:end]) for kind, start, end in outer_boxes(data)] == found
