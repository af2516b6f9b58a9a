"""Messages between the parent and a worker; `frames` puts them on the pipes.

A worker has decoded hostile files, so `worker_process` bounds and validates every message. This
module uses only the standard library, so that workers start fast.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

from sightline.storage.ingest.decode.worker.open_file import FileStamp
from sightline.storage.ingest.discover.sidecars import Sidecar
from sightline.storage.ingest.metadata.embedded_metadata import NO_METADATA, EmbeddedMetadata
from sightline.storage.types import Box, Reading


class ProtocolError(Exception):
    """The other side sent something that is not a valid message."""


# Requests: parent to worker.


class HashRequest(NamedTuple):
    """Return the SHA-256 of a file as one `FileHash`."""

    path: str


class ArchiveRequest(NamedTuple):
    """Return the files of an archive as `FoundFile`s, sorted by name."""

    name: str
    path: str


class TreeRequest(NamedTuple):
    """Return the files of a folder as `FoundFile`s, depth-first by name.

    ``given`` is the path as the user wrote it and ``real`` where it leads. ``only`` selects some
    files of the folder itself: pairs of the real name and the given one.
    """

    given: str
    real: str
    only: list[tuple[str, str]] | None = None


class BlobSource(NamedTuple):
    """A stored file with its SHA-256 (hexadecimal) and its name in errors."""

    data_dir: str
    location: str
    sha256: str
    name: str


class LoadImageRequest(NamedTuple):
    """Return an upright image, or its part inside ``crop``, as a `LoadedImage`.

    The image is ``data``, or the file at the real ``path``, or ``blob``. With ``max_edge`` the
    longer side of the result is reduced to that.
    """

    data: bytes | None = None
    path: str | None = None
    blob: BlobSource | None = None
    crop: Box | None = None
    max_edge: int | None = None


class RenderImageRequest(NamedTuple):
    """Return an image with boxes on it as a `RenderedImage`; see `LoadImageRequest`.

    ``overlays`` are boxes of the whole image with labels and legends. A smaller part is enlarged to
    ``min_edge``; if the image is a ``page`` of a ``document``, it is rendered from that instead,
    ``page_edge`` pixels long.
    """

    max_edge: int
    max_bytes: int
    data: bytes | None = None
    path: str | None = None
    blob: BlobSource | None = None
    crop: Box | None = None
    overlays: tuple[tuple[Box, str, str], ...] = ()
    style: Literal["box", "corners", "shade"] = "box"
    min_edge: int = 0
    document: BlobSource | None = None
    page: int = 0
    page_edge: int = 0


class PageTextRequest(NamedTuple):
    """Return the text layer of a ``page`` (from 1) of a PDF as one `TextLines`."""

    document: BlobSource
    page: int


class DecodeRequest(NamedTuple):
    """Decode one source: a path, or bytes sent along.

    ``sha256`` (hex) is valid while the file still has ``stamp``. ``metadata_only`` skips images and
    text that the collection already has; OCR, tiles, subtitles and sound are still done if
    requested, and with OCR the text of a PDF too. ``speech`` requests the sound. ``skip_ocr`` lists
    ordinals of images whose OCR failed before. After ``work_seconds`` the rest of a PDF, video or
    sound is left out.
    """

    name: str
    path: str | None = None
    data: bytes | None = None
    sha256: str = ""
    stamp: FileStamp | None = None
    metadata_only: bool = False
    ocr: str = "off"
    tiles: bool = False
    subtitles: bool = False
    speech: bool = False
    skip_ocr: tuple[int, ...] = ()
    work_seconds: float = math.inf


class AnalyzeRequest(NamedTuple):
    """Return the search data of texts as one `TextAnalyses`."""

    texts: list[str]


# Messages: worker to parent.


class WorkerReady(NamedTuple):
    """The worker started; ``error`` is the traceback if it could not."""

    error: str | None = None


class WorkerAlive(NamedTuple):
    """The worker makes progress; resets the deadline."""


class FileHash(NamedTuple):
    """SHA-256 (hex) of a file and the stamp of the file that was hashed."""

    sha256: str
    stamp: FileStamp


class FoundFile(NamedTuple):
    """A file of a folder or an archive, or why it cannot be read.

    One of an archive has its ``data``, one of a folder its real ``path``.
    """

    name: str
    place: str
    path: str | None = None
    data: bytes | None = None
    sidecar: Sidecar | None = None
    code: str | None = None
    reason: str = ""


class LoadedImage(NamedTuple):
    """RGB rows of an upright image; ``source_size`` is that of the whole."""

    width: int
    height: int
    source_size: tuple[int, int]
    pixels: bytes


class RenderedImage(NamedTuple):
    """A JPEG and its size; ``document_error``: why the document was not used."""

    width: int
    height: int
    jpeg: bytes
    document_error: str | None = None


class ImagePart(NamedTuple):
    """One decoded image, page or frame.

    ``pixels`` is the encoder input, uint8 of ``shape`` (height, width, 3). ``content`` is the JPEG
    of a page or frame. ``hashes`` are perceptual and symmetric; a plain picture has none.
    """

    kind: Literal["image", "page", "frame", "audio"]
    ordinal: int
    width: int
    height: int
    shape: tuple[int, int, int]
    thumbnail_size: tuple[int, int]
    pixels: bytes
    thumbnail: bytes
    content: bytes | None = None
    page: int | None = None
    frame_seconds: float | None = None
    hashes: tuple[int, int] | None = None
    local_hashes: bytes | None = None


class TilePart(NamedTuple):
    """One tile of an image; ``pixels`` as in `ImagePart`."""

    asset: int
    ordinal: int
    box: Box
    shape: tuple[int, int, int]
    pixels: bytes


class AssetReading(NamedTuple):
    """How the text of an image was read; the last one of an image counts."""

    asset: int
    reading: Reading


class OcrStarted(NamedTuple):
    """OCR of an image starts: if the worker dies now, OCR is to blame."""

    asset: int


LineKind = Literal["ocr", "page_text", "note", "field"]


class TextLines(NamedTuple):
    """Lines of one image as (text, box, confidence 0..1), in reading order.

    A ``note`` is a comment on a page, and a ``field`` the name and value of a form field; each line
    is one. ``row_starts`` says of each line whether it is the first of its row.
    """

    kind: LineKind
    asset: int
    lines: list[tuple[str, Box, float]]
    page: int | None = None
    start_seconds: float | None = None
    row_starts: list[bool] | None = None


class TextPassage(NamedTuple):
    """One row, subtitle, note or chunk: a range of characters, or of seconds.

    ``page`` is the number of a slide or sheet; ``asset`` the ordinal of the picture described.
    """

    text: str
    chars: tuple[int, int] | None = None
    seconds: tuple[float, float] | None = None
    page: int | None = None
    asset: int | None = None


class TextPassages(NamedTuple):
    """Some of the rows of a table, of subtitles, or of the chunks or notes of a text."""

    kind: Literal["row", "subtitle", "chunk", "note"]
    passages: list[TextPassage]


class PackedAnalysis(NamedTuple):
    """An `Analysis` in little memory: terms and words, one a line, and frequencies."""

    language: Literal["en", "zh", "other"]
    tsvector: str
    terms: str
    frequencies: list[int]
    token_count: int
    words: str = ""


class TextAnalyses(NamedTuple):
    """The search data of the texts of an `AnalyzeRequest`, in order."""

    analyses: list[PackedAnalysis]


class PartWarning(NamedTuple):
    """A problem with a part of a source; the rest is still ingested.

    ``name`` is that of a file in an archive.
    """

    code: str
    reason: str
    name: str = ""


class SoundPart(NamedTuple):
    """A piece of the sound of a source: int16 samples, mono, 16 kHz."""

    start_seconds: float
    samples: bytes


class SourceInfo(NamedTuple):
    """Facts about a whole source; the last part of a decode job."""

    kind: Literal["image", "text", "pdf", "document", "video", "audio"]
    sha256: str
    size: int
    mime_type: str | None
    embedded: EmbeddedMetadata = NO_METADATA
    sound_seconds: float = 0.0


class JobEnd(NamedTuple):
    """The end of a job, failed if ``code`` is set. Times are in seconds."""

    seconds: float
    stage_seconds: dict[str, float]
    peak_rss_kib: int
    code: str | None = None
    message: str = ""
    traceback: str | None = None


Request = (
    HashRequest | ArchiveRequest | TreeRequest | LoadImageRequest | RenderImageRequest
    | PageTextRequest | DecodeRequest | AnalyzeRequest
)  # fmt: skip
JobPart = (
    WorkerAlive | FileHash | FoundFile | LoadedImage | RenderedImage | ImagePart | TilePart
    | AssetReading | OcrStarted | SoundPart | TextLines | TextPassages | TextAnalyses | PartWarning
    | SourceInfo
)  # fmt: skip
WorkerMessage = WorkerReady | JobPart | JobEnd
