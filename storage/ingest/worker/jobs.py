"""Read one source into parts: pictures and text.

A source may give many parts (pages, frames): each is sent as soon as it is made, so that neither
side holds a whole film.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Generator
from dataclasses import dataclass

from PIL import Image

from sightline.storage.errors import MediaError
from sightline.storage.ingest.kinds import claim, text_mime_type
from sightline.storage.ingest.worker.files import Stamp, read_file
from sightline.storage.ingest.worker.picture import open_picture, read_picture, taken
from sightline.storage.ingest.worker.protocol import Header, pack
from sightline.storage.ingest.worker.text import read_text
from sightline.storage.models import Pixels

Parts = Generator[list[bytes | memoryview], None, Header]


@dataclass(frozen=True, slots=True)
class Limits:
    """What a worker refuses."""

    max_file_bytes: int
    max_text_bytes: int
    max_pixels: int
    memory_mib: int


@dataclass(frozen=True, slots=True)
class Request:
    """One source: a path, or bytes sent along.

    ``sha256`` holds as long as the file still has the stamp that it was hashed under.
    ``look_only`` asks for what the file says of itself, without decoding.
    """

    name: str
    path: str | None
    data: bytes | None
    sha256: bytes
    stamp: Stamp | None
    look_only: bool


def read(request: Request, preprocess: Callable[[Image.Image], Pixels], limits: Limits) -> Parts:
    """Yield the parts of a source as frames; return the header of the end. Raises MediaError."""
    data, sha256 = _bytes_of(request, limits)
    end: Header = {"sha256": sha256.hex(), "size": len(data)}
    kind = claim(request.name)
    if kind == "text":
        text = read_text(data, limits.max_text_bytes)
        yield pack({"part": "text"}, [text.encode("utf-8", "surrogatepass")])
        return {**end, "kind": "text", "mime_type": text_mime_type(request.name)}
    try:
        if request.look_only:
            when = taken(open_picture(data, limits.max_pixels))
            return {**end, "kind": "image", "mime_type": None, "taken": when}
        picture = read_picture(data, preprocess, limits.max_pixels)
    except MediaError as error:
        if error.code == "not_an_image" and kind != "image":
            raise MediaError("unsupported", "is of no kind that can be ingested") from error
        raise
    except OSError as error:
        code = "truncated" if "truncated" in str(error) else "broken"
        raise MediaError(code, f"cannot be decoded: {error}") from error
    header: Header = {
        "part": "picture",
        "width": picture.width,
        "height": picture.height,
        "shape": picture.pixels.shape,
        "thumbnail_size": picture.thumbnail_size,
        "perceptual_hash": picture.perceptual_hash,
        "taken": picture.taken,
    }
    yield pack(header, [picture.pixels.data.cast("B"), picture.thumbnail])
    return {**end, "kind": "image", "mime_type": picture.mime_type}


def _bytes_of(request: Request, limits: Limits) -> tuple[bytes, bytes]:
    """The bytes and their SHA-256, hashed again only where the file changed in between."""
    if request.data is not None:
        return request.data, request.sha256
    if request.path is None:
        raise ValueError("a request needs a path or bytes")
    data, stamp = read_file(request.path, limits.max_file_bytes)
    if stamp == request.stamp:
        return data, request.sha256
    return data, hashlib.sha256(data).digest()
