"""What becomes of one source on its way from a file to rows."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.capture_time import Captured
from sightline.storage.ingest.decode.worker.open_file import Stamp
from sightline.storage.ingest.discover.discovered_file import Found
from sightline.storage.interfaces import Pixels
from sightline.storage.records.assets import AssetKind
from sightline.storage.text.analyzer import Analysis
from sightline.storage.types import Box, PassageKind

Vector = NDArray[np.float32]


@dataclass(slots=True)
class AssetDraft:
    """A picture to be. ``pixels`` are dropped once there is a vector.

    ``stored`` is the SHA-256 of a page or a frame, whose bytes are in the object store; an image
    is its source.
    """

    kind: AssetKind
    ordinal: int
    width: int
    height: int
    thumbnail: bytes
    thumbnail_size: tuple[int, int]
    perceptual_hash: int
    pixels: Pixels | None
    page: int | None = None
    frame_seconds: float | None = None
    stored: bytes | None = None
    vector: Vector | None = None


@dataclass(slots=True, eq=False)
class RegionDraft:
    """A part of a picture, by the picture's ordinal: a line of text, or a tile.

    A tile's ``pixels`` are dropped once there is a vector.
    """

    kind: Literal["ocr_line", "tile"]
    on_asset: int
    ordinal: int
    box: Box
    label: str | None = None
    score: float | None = None
    pixels: Pixels | None = None
    vector: Vector | None = None


@dataclass(slots=True)
class PassageDraft:
    """Text to be found. ``on_asset`` is the ordinal of the picture that it speaks of."""

    kind: PassageKind
    ordinal: int
    text: str
    on_asset: int | None = None
    page: int | None = None
    start_seconds: float | None = None
    end_seconds: float | None = None
    char_start: int | None = None
    char_end: int | None = None
    box: Box | None = None
    confidence: float | None = None
    vector: Vector | None = None
    analysis: Analysis | None = None


@dataclass(frozen=True, slots=True)
class Known:
    """A source that the collection has."""

    id: int
    content_key: bytes
    name: str
    location: str
    kind: str
    state: str
    sidecar_sha256: bytes | None
    ocr_engine: str | None
    tile_scheme: str | None
    named: bool


@dataclass(slots=True, eq=False)
class Work:
    """One source. ``content_key`` is the SHA-256 of its bytes, or stands in for it.

    ``known`` is the row that is to be brought up to date. ``unfinished`` counts the pictures that
    wait for vectors; ``ended`` says that no more of them come.
    """

    found: Found
    content_key: bytes
    location: str
    stamp: Stamp | None = None
    known: Known | None = None
    replaces: bool = False
    """Whether the collection has other bytes of the same file."""
    failure: MediaError | None = None
    kind: str = "unknown"
    mime_type: str | None = None
    byte_size: int | None = None
    captured: Captured | None = None
    assets: list[AssetDraft] = field(default_factory=list)
    passages: list[PassageDraft] = field(default_factory=list)
    regions: list[RegionDraft] = field(default_factory=list)
    text: str | None = None
    named: PassageDraft | None = None
    """The words of its file's name."""
    ocr_engine: str | None = None
    """Mode and engine that read its pictures in this run; None where none did."""
    tile_scheme: str | None = None
    """How its pictures were cut into tiles in this run; None where they were not."""
    reading: int | None = None
    """The picture, by its ordinal, in which a worker is reading text."""
    unread: list[int] = field(default_factory=list)
    """Pictures whose text could not be read."""
    stored: list[str] = field(default_factory=list)
    """Locations of pages and frames that are in the object store already."""
    unfinished: int = 0
    ended: bool = False
    twins: list[Found] = field(default_factory=list)
    """Later files of this run with the same bytes: they share its fate."""

    @property
    def ready(self) -> bool:
        """Whether all that it needs to be written is there."""
        return self.ended and (self.unfinished == 0 or self.failure is not None)

    def fail(self, failure: MediaError) -> None:
        """Give up; what was made so far is dropped."""
        self.failure = failure
        if self.found.data is not None:
            self.location = self.found.place_location  # its bytes will not be kept
        self.forget()

    def forget(self) -> None:
        """Drop what was made so far."""
        self.assets.clear()
        self.passages.clear()
        self.regions.clear()
        self.text = None


def asset_id(collection: str, sha256: bytes, kind: AssetKind, ordinal: int) -> str:
    """12 characters, the same wherever the same bytes are ingested under the same name."""
    digest = hashlib.sha256(f"{collection}\0{sha256.hex()}\0{kind}\0{ordinal}".encode()).digest()
    return base64.b32encode(digest[:8]).decode("ascii").lower()[:12]
