"""Run one request: select the decoder and yield the parts of the source.

Each part (image, page, frame, text) is sent as soon as it exists, so that neither side holds a
whole video.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.image import (
    OCR_EDGE,
    decode_image,
    exif_time,
    load_upright,
    open_image,
)
from sightline.storage.ingest.decode.worker.open_file import (
    FileStamp,
    hash_file,
    open_file,
    read_file,
    stamp_of,
)
from sightline.storage.ingest.decode.worker.subtitles import parse_subtitles
from sightline.storage.ingest.decode.worker.table_rows import parse_rows
from sightline.storage.ingest.decode.worker.text_files import decode_text, extract_visible_text
from sightline.storage.ingest.decode.worker.tile_cutter import cut_tiles
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext, subtitle_passages
from sightline.storage.ingest.decode.worker.worker_protocol import (
    DecodeRequest,
    FileHash,
    HashRequest,
    JobPart,
    LoadedImage,
    LoadImageRequest,
    Request,
    SourceInfo,
    TextContent,
    TextPassage,
    TextPassages,
)
from sightline.storage.ingest.discover.file_types import file_type_of, mime_type_of, suffix_of


def run_request(request: Request, context: WorkerContext) -> Iterator[JobPart]:
    """Yield the parts of the answer. Raises MediaError and errors of decoders."""
    limits = context.limits
    match request:
        case HashRequest():
            is_video = file_type_of(request.path) == "video"
            max_bytes = limits.max_video_bytes if is_video else limits.max_file_bytes
            digest, stamp = hash_file(request.path, max_bytes)
            yield FileHash(sha256=digest.hex(), stamp=stamp)
        case LoadImageRequest():
            image = load_upright(request.data, limits.max_pixels, edge=request.edge)
            yield LoadedImage(width=image.width, height=image.height, pixels=image.tobytes())
        case DecodeRequest():
            if file_type_of(request.name) == "video":
                yield from _decode_video(request, context)
            else:
                yield from _decode_file(request, context)


def _decode_file(request: DecodeRequest, context: WorkerContext) -> Iterator[JobPart]:
    file_type = file_type_of(request.name)
    data, sha256 = _bytes_of(request, context.limits.max_file_bytes)
    size, mime_type = len(data), mime_type_of(request.name)
    if file_type in ("text", "rows", "subtitles"):
        if file_type == "subtitles" or not request.metadata_only:
            part = _text_part(data, request.name, context)
            if not request.metadata_only:
                yield part
        yield SourceInfo(kind="text", sha256=sha256, size=size, mime_type=mime_type)
    elif file_type == "pdf" or data[:1024].lstrip().startswith(b"%PDF-"):
        from sightline.storage.ingest.decode.worker.pdf import decode_pdf

        yield from decode_pdf(data, context, request)
        yield SourceInfo(kind="pdf", sha256=sha256, size=size, mime_type="application/pdf")
    else:
        try:
            yield from _image_parts(data, sha256, request, context)
        except MediaError as error:
            if error.code == "not_an_image" and file_type != "image":
                raise MediaError("unsupported", "is not of a supported file type") from error
            raise
        except OSError as error:
            code = "truncated" if "truncated" in str(error) else "broken"
            raise MediaError(code, f"cannot be decoded: {error}") from error


def _image_parts(
    data: bytes, sha256: str, request: DecodeRequest, context: WorkerContext
) -> Iterator[JobPart]:
    mime_type, time = None, None
    if request.metadata_only:
        time = exif_time(open_image(data, context.limits.max_pixels))
    else:
        part, mime_type = decode_image(data, context.preprocess, context.limits.max_pixels)
        yield part
    if request.ocr != "off" or request.tiles:
        image = load_upright(data, context.limits.max_pixels, edge=OCR_EDGE)
        if request.tiles:
            yield from cut_tiles(image, 0, context.preprocess)
        yield from context.ocr_parts(image, request, 0)
    yield SourceInfo(
        kind="image", sha256=sha256, size=len(data), mime_type=mime_type, exif_time=time
    )


def _text_part(data: bytes, name: str, context: WorkerContext) -> TextContent | TextPassages:
    text = decode_text(data, context.limits.max_text_bytes)
    file_type, suffix = file_type_of(name), suffix_of(name)
    if file_type == "subtitles":
        cues = parse_subtitles(text)
        if not cues:
            raise MediaError("broken", "contains no subtitles")
        return subtitle_passages(cues)
    if file_type == "rows":
        rows = parse_rows(text, suffix, context.limits.max_rows)
        passages = [TextPassage(text=row.text, chars=(row.start, row.end)) for row in rows]
        return TextPassages(kind="row", passages=passages)
    if suffix in (".html", ".htm", ".xhtml"):
        text = extract_visible_text(text)
    return TextContent(text=text.encode("utf-8", "surrogatepass"))


def _decode_video(request: DecodeRequest, context: WorkerContext) -> Iterator[JobPart]:
    """Stream a video from its file: it may be larger than memory."""
    from sightline.storage.ingest.decode.worker.video import creation_time, decode_video

    with _open_video(request, context.limits.max_video_bytes) as (file, sha256, size, stamp):
        yield from decode_video(file, request.name, context, request)
        created = creation_time(file, request.name)
        if stamp is not None and stamp != stamp_of(file.fileno()):
            raise MediaError("changed", "changed while it was decoded; run the ingest again")
    yield SourceInfo(
        kind="video",
        sha256=sha256,
        size=size,
        mime_type=mime_type_of(request.name),
        created=created,
    )


@contextmanager
def _open_video(
    request: DecodeRequest, max_bytes: int
) -> Iterator[tuple[IO[bytes], str, int, FileStamp | None]]:
    if request.data is not None:
        yield io.BytesIO(request.data), request.sha256, len(request.data), None
        return
    descriptor, stamp = open_file(_path_of(request), max_bytes)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        sha256 = request.sha256
        if stamp != request.stamp:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        yield file, sha256, stamp.size, stamp


def _bytes_of(request: DecodeRequest, max_bytes: int) -> tuple[bytes, str]:
    """Return the bytes and their SHA-256, hashed again only if the file changed."""
    if request.data is not None:
        return request.data, request.sha256
    data, stamp = read_file(_path_of(request), max_bytes)
    if stamp == request.stamp:
        return data, request.sha256
    return data, hashlib.sha256(data).hexdigest()


def _path_of(request: DecodeRequest) -> str:
    if request.path is None:
        raise ValueError("a request needs a path or bytes")
    return request.path
