"""Read one source into parts: pictures and text.

A source may give many parts (pages, frames): each is sent as soon as it is made, so that neither
side holds a whole film.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.image import (
    READ_EDGE,
    open_picture,
    read_picture,
    taken,
    upright,
)
from sightline.storage.ingest.decode.worker.open_file import Stamp, open_file, read_file, stamp_of
from sightline.storage.ingest.decode.worker.subtitles import gathered, parse_subtitles
from sightline.storage.ingest.decode.worker.table_rows import read_rows
from sightline.storage.ingest.decode.worker.text_files import read_text
from sightline.storage.ingest.decode.worker.tile_cutter import tile_parts
from sightline.storage.ingest.decode.worker.worker_context import (
    Frame,
    Tools,
    Wanted,
    passages_part,
    picture_part,
    read_parts,
)
from sightline.storage.ingest.decode.worker.worker_protocol import Header, pack
from sightline.storage.ingest.discover.file_types import claim, mime_type, suffix_of

Parts = Generator[Frame, None, Header]


@dataclass(frozen=True, slots=True)
class Request:
    """One source: a path, or bytes sent along.

    ``sha256`` holds as long as the file still has the stamp that it was hashed under.
    ``look_only`` asks for what the file says of itself, without decoding, and, where ``ocr`` is
    not ``off``, for the text in its pictures but those of the ordinals ``unread``. ``tiles`` asks
    for parts of the pictures, ``subtitles`` for those of a film that is only looked at.
    """

    name: str
    path: str | None
    data: bytes | None
    sha256: bytes
    stamp: Stamp | None
    look_only: bool
    ocr: str = "off"
    tiles: bool = False
    unread: tuple[int, ...] = ()
    subtitles: bool = False

    @property
    def wanted(self) -> Wanted:
        """What is wanted of each picture."""
        return Wanted(self.look_only, self.ocr, self.tiles, self.unread, self.subtitles)


def read(request: Request, tools: Tools) -> Parts:
    """Yield the parts of a source as frames; return the header of the end. Raises MediaError."""
    kind = claim(request.name)
    if kind == "video":
        return (yield from _read_film(request, tools))
    data, sha256 = _bytes_of(request, tools.limits.max_file_bytes)
    end: Header = {"sha256": sha256.hex(), "size": len(data)}
    end["mime_type"] = mime_type(request.name)
    if kind in ("text", "rows"):
        if not request.look_only:
            yield _read_text(data, request.name, tools)
        return {**end, "kind": "text"}
    if kind == "pdf" or data[:1024].lstrip().startswith(b"%PDF-"):
        from sightline.storage.ingest.decode.worker.pdf import read_pdf

        yield from read_pdf(data, tools, request.wanted)
        return {**end, "kind": "pdf", "mime_type": "application/pdf"}
    if kind == "subtitles":
        text = read_text(data, tools.limits.max_text_bytes)
        cues = list(gathered(parse_subtitles(text)))
        if not cues:
            raise MediaError("broken", "holds no subtitles")
        said = [{"text": cue.text, "seconds": [cue.start, cue.end]} for cue in cues]
        if not request.look_only:
            yield passages_part("subtitle", said)
        return {**end, "kind": "text"}
    try:
        return {**end, **(yield from _read_image(data, request, tools))}
    except MediaError as error:
        if error.code == "not_an_image" and kind != "image":
            raise MediaError("unsupported", "is of no kind that can be ingested") from error
        raise
    except OSError as error:
        code = "truncated" if "truncated" in str(error) else "broken"
        raise MediaError(code, f"cannot be decoded: {error}") from error


def _read_film(request: Request, tools: Tools) -> Parts:
    """A film from its file as it goes: it may be larger than memory."""
    from sightline.storage.ingest.decode.worker.video import created, read_video

    with _film_of(request, tools.limits.max_video_bytes) as film:
        yield from read_video(film.file, request.name, tools, request.wanted)
        begun = created(film.file, request.name)
        if not film.unchanged():
            raise MediaError("changed", "changed while it was being read; run again")
    return {
        "sha256": film.sha256.hex(),
        "size": film.size,
        "mime_type": mime_type(request.name),
        "kind": "video",
        "created": begun,
    }


@dataclass(frozen=True, slots=True)
class _Film:
    file: IO[bytes]
    sha256: bytes
    size: int
    stamp: Stamp | None

    def unchanged(self) -> bool:
        """Whether the file is the one that was hashed."""
        return self.stamp is None or self.stamp == stamp_of(self.file.fileno())


@contextmanager
def _film_of(request: Request, max_bytes: int) -> Iterator[_Film]:
    if request.data is not None:
        yield _Film(io.BytesIO(request.data), request.sha256, len(request.data), None)
        return
    if request.path is None:
        raise ValueError("a request needs a path or bytes")
    descriptor, stamp = open_file(request.path, max_bytes)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        sha256 = request.sha256
        if stamp != request.stamp:
            sha256 = hashlib.file_digest(file, "sha256").digest()
        yield _Film(file, sha256, stamp.size, stamp)


def _read_text(data: bytes, name: str, tools: Tools) -> Frame:
    text = read_text(data, tools.limits.max_text_bytes)
    suffix = suffix_of(name)
    if claim(name) == "rows":
        rows = read_rows(text, suffix, tools.limits.max_rows)
        passages = [{"text": row.text, "chars": [row.start, row.end]} for row in rows]
        return passages_part("row", passages)
    if suffix in (".html", ".htm", ".xhtml"):
        from sightline.storage.ingest.decode.worker.html_text import visible_text

        text = visible_text(text)
    return pack({"part": "text"}, [text.encode("utf-8", "surrogatepass")])


def _read_image(data: bytes, request: Request, tools: Tools) -> Parts:
    end: Header = {"kind": "image", "mime_type": None}
    if request.look_only:
        end["taken"] = taken(open_picture(data, tools.limits.max_pixels))
    else:
        picture = read_picture(data, tools.preprocess, tools.limits.max_pixels)
        yield picture_part(picture)
        end["mime_type"] = picture.mime_type
    yield from _looked_into(data, request, tools)
    return end


def _looked_into(data: bytes, request: Request, tools: Tools) -> Iterator[Frame]:
    """The parts and the text of a picture."""
    if request.ocr == "off" and not request.tiles:
        return
    image = upright(data, tools.limits.max_pixels, edge=READ_EDGE)
    if request.tiles:
        yield from tile_parts(image, 0, tools.preprocess)
    yield from read_parts(image, tools, request.wanted, 0)


def _bytes_of(request: Request, max_bytes: int) -> tuple[bytes, bytes]:
    """The bytes and their SHA-256, hashed again only where the file changed in between."""
    if request.data is not None:
        return request.data, request.sha256
    if request.path is None:
        raise ValueError("a request needs a path or bytes")
    data, stamp = read_file(request.path, max_bytes)
    if stamp == request.stamp:
        return data, request.sha256
    return data, hashlib.sha256(data).digest()
