"""Data of the ingest pipeline: one immutable type per stage.

discover   `DiscoveredFile`
hash       `HashedFile`
dedup      `NewSource` | `ChangedSource` | `UnchangedSource` | `DuplicateFile`
decode     `DecodedSource`
embed      `EmbeddedSource`, which the writer stores

`FailedSource` leaves any stage after discovery and goes straight to the writer.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.open_file import FileStamp
from sightline.storage.ingest.decode.worker.worker_protocol import ImagePart, PackedAnalysis
from sightline.storage.ingest.discover.file_names import printable_path
from sightline.storage.ingest.discover.sidecars import Sidecar
from sightline.storage.ingest.metadata.source_description import NO_DESCRIPTION, SourceDescription
from sightline.storage.interfaces import Pixels
from sightline.storage.records.assets import AssetKind
from sightline.storage.types import Box, PassageKind, Reading

Vector = NDArray[np.float32]
Draft = TypeVar("Draft")


@dataclass(frozen=True, slots=True)
class DiscoveredFile:
    """A file, an archive member, an upload or a URL; or why it cannot be read.

    ``name`` is as the user gave it. ``path`` is real and absolute; files without a path have
    ``data``. ``place`` identifies failures without bytes.
    A worker walks folders and reads the files of archives.
    """

    name: str
    place: str
    path: str | None = None
    data: bytes | None = field(default=None, repr=False)
    sidecar: Sidecar | None = None
    failure: MediaError | None = None

    @property
    def sidecar_sha256(self) -> bytes | None:
        return self.sidecar.sha256 if self.sidecar else None

    @property
    def failure_location(self) -> str:
        """Return the location of a failed source: ``file:`` and a path, or a name."""
        return printable_path(f"file:{self.place}" if self.place.startswith("/") else self.place)


@dataclass(frozen=True, slots=True)
class HashedFile:
    """A file with its location and the SHA-256 of its bytes, ``content_key``.

    If the bytes cannot be read, the key is that of the place.
    """

    file: DiscoveredFile
    content_key: bytes
    location: str
    byte_size: int | None = None
    stamp: FileStamp | None = None


@dataclass(frozen=True, slots=True)
class ExistingSource:
    id: int
    content_key: bytes
    name: str
    location: str
    kind: str
    state: str
    sidecar_sha256: bytes | None
    ocr_engine: str | None
    transcriber: str | None
    tile_scheme: str | None
    has_name_passage: bool


@dataclass(frozen=True, slots=True, eq=False)
class NewSource:
    """New bytes; ``replaces`` is set if the file had other bytes before."""

    hashed: HashedFile
    replaces: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class ChangedSource:
    """A known source to update: moved, with a changed sidecar, or to be decoded again."""

    hashed: HashedFile
    existing: ExistingSource


@dataclass(frozen=True, slots=True)
class UnchangedSource:
    hashed: HashedFile


@dataclass(frozen=True, slots=True)
class DuplicateFile:
    """Bytes that another file has; ``pending`` if that file is not written yet."""

    hashed: HashedFile
    pending: bool


AcceptedSource = NewSource | ChangedSource


@dataclass(frozen=True, slots=True, eq=False)
class FailedSource:
    """A failed source; ``decoded`` is None if it failed before dedup."""

    hashed: HashedFile
    failure: MediaError
    decoded: DecodedSource | None = None


DedupDecision = NewSource | ChangedSource | UnchangedSource | DuplicateFile | FailedSource


@dataclass(frozen=True, slots=True)
class AssetDraft:
    """An image to store.

    ``part`` is without pixels and content. ``content_sha256`` is that of a page or frame, whose
    bytes are in the blob store; an image's bytes are its source's.
    """

    part: ImagePart
    content_sha256: bytes | None = None


@dataclass(frozen=True, slots=True)
class RegionDraft:
    """An OCR line or a tile. ``asset`` is the ordinal of the image."""

    kind: Literal["ocr_line", "tile"]
    asset: int
    ordinal: int
    box: Box
    label: str | None = None
    score: float | None = None


@dataclass(frozen=True, slots=True)
class PassageDraft:
    """A passage to store. ``asset`` is the ordinal of the image that it describes.

    ``seconds`` and ``chars`` are (start, end). ``parts`` are further words by which it is found:
    those of words that were hyphenated.
    """

    kind: PassageKind
    ordinal: int
    text: str
    asset: int | None = None
    page: int | None = None
    seconds: tuple[float, float | None] | None = None
    chars: tuple[int, int] | None = None
    box: Box | None = None
    confidence: float | None = None
    parts: str = ""

    @property
    def indexed_text(self) -> str:
        """The text of which the terms are indexed."""
        return f"{self.text}\n{self.parts}" if self.parts else self.text


@dataclass(frozen=True, slots=True)
class EncodeRequest:
    """Pixels for the image encoder, and the future that receives the result."""

    pixels: Pixels
    vector: asyncio.Future[Vector | MediaError | None]


@dataclass(frozen=True, slots=True)
class Encoding(Generic[Draft]):
    """A draft with the future of its vector, or of the error of the encoder.

    The result is None for what is not encoded.
    """

    draft: Draft
    vector: asyncio.Future[Vector | MediaError | None]


@dataclass(frozen=True, slots=True)
class Embedded(Generic[Draft]):
    """A draft with its vector; None if it gets none."""

    draft: Draft
    vector: Vector | None


@dataclass(frozen=True, slots=True)
class AnalyzedPassage:
    """A passage with its terms and, if there is a text encoder, its vector.

    ``outside_vocabulary``: the encoder does not know the text, so it has no vector.
    """

    draft: PassageDraft
    analysis: PackedAnalysis
    vector: Vector | None = None
    outside_vocabulary: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class DecodedSource:
    """All parts of a source. Vectors of images and tiles may still be computing.

    ``ocr_engine``, ``transcriber`` and ``tile_scheme`` are recorded if these steps ran.
    ``analyses`` are those of the ``passages``; none if these are short, and analyzed later.
    ``text_chars`` count as waiting until they are written. ``readings`` are by ordinal.
    """

    source: AcceptedSource
    kind: str
    mime_type: str | None = None
    description: SourceDescription = NO_DESCRIPTION
    assets: tuple[Encoding[AssetDraft], ...] = ()
    tiles: tuple[Encoding[RegionDraft], ...] = ()
    ocr_lines: tuple[RegionDraft, ...] = ()
    passages: tuple[PassageDraft, ...] = ()
    readings: Mapping[int, Reading] = field(default_factory=dict)
    analyses: tuple[PackedAnalysis, ...] = ()
    text_chars: int = 0
    ocr_engine: str | None = None
    transcriber: str | None = None
    tile_scheme: str | None = None
    stored_blobs: tuple[str, ...] = ()

    @property
    def hashed(self) -> HashedFile:
        return self.source.hashed


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddedSource:
    """A source with all vectors of its images; ready to be written with its passages."""

    decoded: DecodedSource
    assets: tuple[Embedded[AssetDraft], ...] = ()
    regions: tuple[Embedded[RegionDraft], ...] = ()
    passages: tuple[AnalyzedPassage, ...] = ()

    @property
    def hashed(self) -> HashedFile:
        return self.decoded.hashed


FinishedSource = EmbeddedSource | FailedSource


def fail_before_dedup(file: DiscoveredFile, failure: MediaError) -> FailedSource:
    key = hashlib.sha256(b"path:" + os.fsencode(file.place)).digest()
    return FailedSource(HashedFile(file, key, file.failure_location), failure)


def fail_source(decoded: DecodedSource, failure: MediaError) -> FailedSource:
    hashed = decoded.hashed
    if hashed.file.data is not None:  # it is not stored, so its location would be wrong
        hashed = replace(hashed, location=hashed.file.failure_location)
    return FailedSource(hashed, failure, decoded)


def asset_id(key: bytes, collection: str, sha256: bytes, kind: AssetKind, ordinal: int) -> str:
    """Return an id of 12 characters that depends only on the arguments.

    The secret ``key`` of the database keeps others, who may have the same file, from computing it.
    """
    message = f"{collection}\0{sha256.hex()}\0{kind}\0{ordinal}".encode()
    digest = hmac.digest(key, message, "sha256")
    return base64.b32encode(digest[:8]).decode("ascii").lower()[:12]
