"""Put messages on the pipes between the parent and a worker, and read them.

A frame is ``u32 header length | JSON header | blob | blob ...`` (big-endian). The header's
``blobs`` maps field names to lengths. Nothing from a worker is unpickled. This module uses only the
standard library, so that workers start fast.
"""

from __future__ import annotations

import asyncio
import json
import struct
from dataclasses import asdict
from typing import Any, BinaryIO, get_args

from sightline.storage.ingest.decode.worker.open_file import FileStamp
from sightline.storage.ingest.decode.worker.worker_protocol import (
    BlobSource,
    ProtocolError,
    Request,
    WorkerMessage,
)

MAX_FRAME_BYTES = 16 << 20
"""For a frame with parts of a file: a page has fewer bytes, and long texts take several frames."""
JSON_BLOBS = frozenset({"analyses", "embedded", "lines", "only", "passages", "sidecar", "texts"})
"""Fields that can be longer than a header. They are JSON too, and parsed with the message."""
_LENGTH = struct.Struct(">I")
_MAX_HEADER_BYTES = 1 << 20


def pack_message(message: Request | WorkerMessage) -> list[bytes]:
    """Return the pieces of a message's frame; its ``type`` is the class name."""
    values = {"type": type(message).__name__, **message._asdict()}
    for name in JSON_BLOBS & values.keys():
        text = json.dumps(values[name], default=asdict, ensure_ascii=False)
        values[name] = text.encode("utf-8", "surrogatepass")
    blobs = {name: value for name, value in values.items() if isinstance(value, bytes)}
    return pack_frame({name: values[name] for name in values.keys() - blobs.keys()}, blobs)


def parse_request(values: dict[str, Any]) -> Request:
    """Return the request in a frame. The parent sends it, so only its form is checked."""
    requests = {each.__name__: each for each in get_args(Request)}
    values = parse_json_blobs(values)
    if (stamp := values.get("stamp")) is not None:
        values["stamp"] = FileStamp(*stamp)
    if (only := values.get("only")) is not None:
        values["only"] = [(real, given) for real, given in only]
    for name in ("blob", "document"):
        if (blob := values.get(name)) is not None:
            values[name] = BlobSource(*blob)
    request: Request = requests[values.pop("type")](**values)
    return request


def parse_json_blobs(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a frame with its JSON blobs parsed. Raises ProtocolError."""
    try:
        return {
            name: json.loads(value) if name in JSON_BLOBS and isinstance(value, bytes) else value
            for name, value in values.items()
        }
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"a frame that cannot be parsed: {error}") from error


def pack_frame(header: dict[str, Any], blobs: dict[str, bytes]) -> list[bytes]:
    sizes = {name: len(blob) for name, blob in blobs.items()}
    text = json.dumps({**header, "blobs": sizes}).encode("ascii")
    return [_LENGTH.pack(len(text)), text, *blobs.values()]


def read_frame(stream: BinaryIO) -> dict[str, Any] | None:
    """Return the values of the next frame, or None at the end of the stream."""
    size = stream.read(_LENGTH.size)
    if len(size) < _LENGTH.size:
        return None
    header, sizes = _parse_header(stream.read(_header_size(size)))
    return header | {name: stream.read(count) for name, count in sizes.items()}


async def receive_frame(stream: asyncio.StreamReader, max_bytes: int) -> dict[str, Any]:
    """Return the values of the next frame; JSON blobs are not parsed.

    Raises ProtocolError before it reads blobs of more than ``max_bytes``, and
    asyncio.IncompleteReadError at the end of the stream.
    """
    size = await stream.readexactly(_LENGTH.size)
    header, sizes = _parse_header(await stream.readexactly(_header_size(size)))
    if (total := sum(sizes.values())) > max_bytes:
        raise ProtocolError(f"a frame of {total:,} bytes; the limit is {max_bytes:,}")
    return header | {name: await stream.readexactly(count) for name, count in sizes.items()}


def _header_size(field_: bytes) -> int:
    (size,) = _LENGTH.unpack(field_)
    if not 2 <= size <= _MAX_HEADER_BYTES:
        raise ProtocolError(f"a header of {size} bytes")
    return int(size)


def _parse_header(text: bytes) -> tuple[dict[str, Any], dict[str, int]]:
    try:
        header = json.loads(text)
        sizes = {str(name): int(size) for name, size in header.pop("blobs").items()}
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ProtocolError(f"a frame that cannot be parsed: {error}") from error
    if any(size < 0 for size in sizes.values()):
        raise ProtocolError(f"blobs of {list(sizes.values())} bytes")
    return header, sizes
