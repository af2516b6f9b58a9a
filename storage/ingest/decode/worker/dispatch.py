"""Run one request: select the decoder and yield the parts of the source.

Each part (image, page, frame, text) is sent as soon as it exists, so that neither side holds a
whole video.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from PIL import Image

from sightline.storage.blobs import MAX_BLOB_BYTES, BlobStore
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.render.jpeg_encoding import encode_jpeg
from sightline.storage.ingest.decode.render.overlays import BoxOverlay
from sightline.storage.ingest.decode.render.view import draw_in_crop, load_view
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.documents.libre_office import (
    CONVERTED,
    convert,
    page_image_parts,
)
from sightline.storage.ingest.decode.worker.media.subtitles import parse_subtitles
from sightline.storage.ingest.decode.worker.open_file import (
    hash_file,
    open_file,
    read_file,
    stamp_of,
)
from sightline.storage.ingest.decode.worker.pictures.picture_parts import decode_picture
from sightline.storage.ingest.decode.worker.text_files import parse_rows
from sightline.storage.ingest.decode.worker.worker_context import WorkerContext, subtitle_passages
from sightline.storage.ingest.formats import (
    HEAD_BYTES,
    FileFormat,
    file_type_of,
    format_of,
    format_of_name,
    suffix_of,
)
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.metadata.video_tags import read_video_tags
from sightline.storage.ingest.plain_text.text_encoding import decode_text

_WEB_PAGES = ("HTML", "XHTML")


def run_request(request: messages.Request, context: WorkerContext) -> Iterator[messages.JobPart]:
    """Yield the parts of the answer. Raises MediaError and errors of decoders."""
    limits = context.limits
    match request:
        case messages.HashRequest():
            yield _hash(request.path, limits)
        case messages.ArchiveRequest():
            from sightline.storage.ingest.archives.archive_tree import read_archive

            yield from read_archive(request, limits, context.report_alive)
        case messages.TreeRequest():
            from sightline.storage.ingest.discover.walk import read_tree

            yield from read_tree(request, limits, context.report_alive)
        case messages.LoadImageRequest():
            image, size = _load_view(request, limits)
            yield messages.LoadedImage(image.width, image.height, size, image.tobytes())
        case messages.RenderImageRequest():
            yield _render(request, limits)
        case messages.PageTextRequest():
            from sightline.storage.ingest.decode.worker.pdf.pages import page_lines

            data = _read_blob(request.document, limits.max_file_bytes)
            lines = page_lines(data, request.page, limits)
            yield messages.TextLines("page_text", 0, lines, request.page)
        case messages.AnalyzeRequest():
            from sightline.storage.ingest.decode.worker.passages import pack_analysis

            yield messages.TextAnalyses([pack_analysis(text) for text in request.texts])
        case messages.DecodeRequest():
            yield from _decode(request, context)


def _hash(path: str, limits: IngestOptions) -> messages.FileHash:
    named = format_of_name(path)
    is_media = named is not None and named.kind in ("video", "audio")
    max_bytes = limits.max_video_bytes if is_media else limits.max_file_bytes
    try:
        digest, stamp = hash_file(path, max_bytes)
    except MediaError as error:
        if error.code == "too_large" and named is not None and named.kind == "unsupported":
            raise named.refusal() from error  # a disk image: to raise the limit would not help
        raise
    return messages.FileHash(sha256=digest.hex(), stamp=stamp)


def _load_view(
    request: messages.LoadImageRequest | messages.RenderImageRequest, limits: IngestOptions
) -> tuple[Image.Image, tuple[int, int]]:
    name = ""
    if request.data is not None:
        data = request.data
    elif request.blob is not None:
        data, name = _read_blob(request.blob), request.blob.name
    else:
        name = str(request.path)
        data, _ = read_file(str(request.path), limits.max_file_bytes)
    min_edge = request.min_edge if isinstance(request, messages.RenderImageRequest) else 0
    return load_view(
        data,
        limits.max_pixels,
        name=name,
        crop=request.crop,
        max_edge=request.max_edge,
        min_edge=min_edge,
    )


def _read_blob(blob: messages.BlobSource, max_bytes: int = MAX_BLOB_BYTES) -> bytes:
    store, sha256 = BlobStore(Path(blob.data_dir)), bytes.fromhex(blob.sha256)
    return store.read(blob.location, sha256, name=blob.name, max_bytes=max_bytes)


def _render_page(
    request: messages.RenderImageRequest, limits: IngestOptions
) -> tuple[Image.Image | None, str | None]:
    """Return the part of the page of a document, or why there is none."""
    document = request.document
    if document is None:
        return None, None
    from sightline.storage.ingest.decode.worker.pdf.pages import render_page_part

    try:
        data = _read_blob(document, limits.max_file_bytes)
        passwords = limits.pdf_passwords
        part = render_page_part(data, request.page, request.crop, request.page_edge, passwords)
    except MediaError as error:
        return None, error.code
    return part, None


def _render(request: messages.RenderImageRequest, limits: IngestOptions) -> messages.RenderedImage:
    image, document_error = _render_page(request, limits)
    if image is None:
        image, _ = _load_view(request, limits)
    overlays = [BoxOverlay(*each) for each in request.overlays]
    drawn = draw_in_crop(image, request.crop, overlays, request.style)
    jpeg, size = encode_jpeg(drawn, max_edge=request.max_edge, max_bytes=request.max_bytes)
    return messages.RenderedImage(*size, jpeg, document_error)


def _decode(request: messages.DecodeRequest, context: WorkerContext) -> Iterator[messages.JobPart]:
    known = format_of(request.name, _head(request, context.limits))
    if known is None:
        raise MediaError("unsupported", "is not of a supported file type")
    is_converted = context.limits.libre_office and known.name in CONVERTED
    if not is_converted and (known.kind in ("archive", "unsupported") or not known.is_available):
        raise known.refusal()
    if known.kind in ("video", "audio"):
        yield from _decode_media(request, known, context)
    else:
        yield from _decode_file(request, known, context)


def _head(request: messages.DecodeRequest, limits: IngestOptions) -> bytes:
    if request.data is not None:
        return request.data[:HEAD_BYTES]
    max_bytes = max(limits.max_file_bytes, limits.max_video_bytes)
    descriptor, _ = open_file(str(request.path), max_bytes)
    with open(descriptor, "rb", buffering=0) as file:  # noqa: PTH123 - a descriptor
        return file.read(HEAD_BYTES)


def _decode_file(
    request: messages.DecodeRequest, known: FileFormat, context: WorkerContext
) -> Iterator[messages.JobPart]:
    data, sha256 = request.data, request.sha256
    if data is None:
        data, stamp = read_file(str(request.path), context.limits.max_file_bytes)
        if stamp != request.stamp:
            sha256 = hashlib.sha256(data).hexdigest()
    size = len(data)
    context.begin_source(size, request.name)
    if known.kind == "document" or known.name in (*_WEB_PAGES, *CONVERTED):
        yield from _document_parts(data, sha256, known, request, context)
    elif known.kind in ("text", "rows", "subtitles"):
        if not request.metadata_only:
            yield from _text_parts(data, request.name, context)
        yield messages.SourceInfo("text", sha256, size, known.mime_type)
    elif known.kind == "pdf":
        from sightline.storage.ingest.decode.worker.pdf.pages import decode_pdf

        embedded = yield from decode_pdf(data, context, request)
        yield messages.SourceInfo("pdf", sha256, size, known.mime_type, embedded)
    else:
        yield from decode_picture(data, sha256, known, request, context)


def _document_parts(
    data: bytes,
    sha256: str,
    known: FileFormat,
    request: messages.DecodeRequest,
    context: WorkerContext,
) -> Iterator[messages.JobPart]:
    from sightline.storage.ingest.decode.worker.documents.document_parts import document_parts
    from sightline.storage.ingest.decode.worker.documents.read_document import read_document
    from sightline.storage.ingest.decode.worker.documents.web_page import read_web_page

    mime_type = known.mime_type
    if known.name in CONVERTED:
        target, mime_type = CONVERTED[known.name]
        seconds = context.limits.file_timeout_seconds
        package = convert(data, known.suffixes[0], target, seconds, context.report_alive)
        document = read_document(package, context.limits)
    elif known.kind == "document":
        document = read_document(data, context.limits)
    else:
        text, _, warning = decode_text(data, context.limits.max_text_bytes)
        if warning is not None:
            yield messages.PartWarning("encoding_guessed", warning)
        document = read_web_page(text)
    has_pictures = False
    for part in document_parts(document, context, request):
        has_pictures = has_pictures or isinstance(part, messages.ImagePart)
        yield part
    if context.limits.libre_office:
        yield from page_image_parts(data, known, request, context)
    # A page without pictures is a text: nothing of it can be viewed or read by OCR.
    kind: Literal["document", "text"] = "text"
    if known.name not in _WEB_PAGES or has_pictures or request.metadata_only:
        kind = "document"
    yield messages.SourceInfo(kind, sha256, len(data), mime_type, document.embedded)


def _text_parts(data: bytes, name: str, context: WorkerContext) -> Iterator[messages.JobPart]:
    limits = context.limits
    text, _, warning = decode_text(data, limits.max_text_bytes)
    if warning is not None:
        yield messages.PartWarning("encoding_guessed", warning)
    if not text.strip():
        raise MediaError("empty", "contains no text")
    file_type, suffix = file_type_of(name), suffix_of(name)
    if file_type == "subtitles":
        cues = parse_subtitles(text)
        if not cues:
            raise MediaError("broken", "contains no subtitles")
        yield from context.passage_parts("subtitle", subtitle_passages(cues))
    elif file_type == "rows":
        yield from context.passage_parts("row", parse_rows(text, suffix, limits.max_rows))
    else:
        from sightline.storage.ingest.decode.worker.passages import split_text

        sizes = (limits.chunk_tokens, limits.chunk_overlap_tokens, limits.max_passage_chars)
        yield from context.passage_parts("chunk", split_text(text, *sizes))


def _decode_media(
    request: messages.DecodeRequest, known: FileFormat, context: WorkerContext
) -> Iterator[messages.JobPart]:
    """Stream video or sound from its file: it may be larger than memory."""
    from sightline.storage.ingest.decode.worker.media.media_container import (
        container_tags,
        media_kind,
    )
    from sightline.storage.ingest.decode.worker.media.sound import decode_audio
    from sightline.storage.ingest.decode.worker.media.video import decode_video

    sha256, stamp = request.sha256, None
    if request.data is not None:
        file: io.BytesIO | io.BufferedReader = io.BytesIO(request.data)
    else:
        descriptor, stamp = open_file(str(request.path), context.limits.max_video_bytes)
        file = open(descriptor, "rb")  # noqa: PTH123, SIM115 - a descriptor
    with file:
        context.begin_source(file.seek(0, io.SEEK_END))
        file.seek(0)
        if stamp is not None and stamp != request.stamp:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        kind = media_kind(file, request.name)
        decode = decode_video if kind == "video" else decode_audio
        sound_seconds = yield from decode(file, request.name, context, request)
        embedded = read_video_tags(container_tags(file, request.name))
        if stamp is not None and stamp != stamp_of(file.fileno()):
            raise MediaError("changed", "changed while it was decoded; run the ingest again")
        size = file.seek(0, io.SEEK_END)
    yield messages.SourceInfo(kind, sha256, size, known.mime_type, embedded, sound_seconds)
