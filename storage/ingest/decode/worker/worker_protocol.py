"""Frames between the parent and a worker: a JSON header and raw blobs.

``u32 header length | header | blob | blob ...`` (big-endian; the header's ``blobs`` gives their
lengths). Nothing that a worker says is unpickled: it has read hostile files, so the parent
believes it no more than it believes them.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Sequence
from typing import Any, BinaryIO

_LENGTH = struct.Struct(">I")
_MAX_HEADER_BYTES = 16 << 20
_MAX_BLOB_BYTES = 2 << 30

Header = dict[str, Any]
Frame = tuple[Header, list[bytes]]


class ProtocolError(Exception):
    """The other side sent something that is not a frame."""


def pack(header: Header, blobs: Sequence[bytes | memoryview] = ()) -> list[bytes | memoryview]:
    """The pieces of a frame, in order, for ``writelines``."""
    sizes = [memoryview(blob).nbytes for blob in blobs]
    text = json.dumps({**header, "blobs": sizes}).encode("ascii")
    return [_LENGTH.pack(len(text)), text, *blobs]


def read_frame(stream: BinaryIO) -> Frame | None:
    """The next frame, or None at the end of the stream."""
    size = stream.read(_LENGTH.size)
    if len(size) < _LENGTH.size:
        return None
    header, sizes = _header(stream.read(_header_size(size)))
    return header, [stream.read(n) for n in sizes]


async def receive_frame(stream: asyncio.StreamReader) -> Frame:
    """The next frame; ``asyncio.IncompleteReadError`` where the stream ends, ProtocolError."""
    size = await stream.readexactly(_LENGTH.size)
    header, sizes = _header(await stream.readexactly(_header_size(size)))
    return header, [await stream.readexactly(n) for n in sizes]


def _header_size(field: bytes) -> int:
    (size,) = _LENGTH.unpack(field)
    if not 2 <= size <= _MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {size} bytes")
    return int(size)


def _header(text: bytes) -> tuple[Header, list[int]]:
    try:
        header = json.loads(text)
        sizes = [int(n) for n in header.pop("blobs")]
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"not a frame: {error}") from error
    if any(not 0 <= n <= _MAX_BLOB_BYTES for n in sizes):
        raise ProtocolError(f"blobs of {sizes} bytes")
    return header, sizes
