"""Options of an ingest, and the policy for fetching URLs."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sightline.storage.errors import ConfigurationError, shown
from sightline.storage.ingest.discover.public_addresses import IpNetwork, is_allowed_address
from sightline.storage.ingest.formats import file_type_of, is_stepwise
from sightline.storage.machine import available_cores, memory_bytes

OcrMode = Literal["auto", "on", "off"]

# What a worker that reads text holds at its peak, and what the server and a small database do.
_WORKER_BYTES = 320 << 20
_OTHER_BYTES = 512 << 20
# The code of a worker alone takes 900 MiB of address space.
_MIN_WORKER_MIB = 1536

HTTPS_PORT = 443
MAX_IMAGE_PIXELS = 100_000_000
"""Width times height of an image that is decoded."""
# A scanned page has 50 kB or more and takes up to 3 seconds with OCR; a page of text has 2 kB or
# more and takes 0.2 seconds.
_PDF_BYTES_PER_SECOND = 10_000
# The terms of a text are found at 200 kB per second or more.
_TEXT_BYTES_PER_SECOND = 100_000
# A table repeats its column names in each row, and chunks overlap.
_TEXT_CHARS_PER_BYTE = 4
_FREE_TEXT_CHARS = 1 << 20
# A page of text has 2 kB or more, and its picture 100 to 400 kB.
_PICTURE_BYTES_PER_BYTE = 64
_FREE_PICTURE_BYTES = 8 << 20
_MIN_PASSAGE_CHARS = 8000
_CHARS_PER_TOKEN = 20


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Limits and sizes of one ingest. The defaults suit a desktop computer."""

    workers: int = 0
    """Number of decoder processes; 0 means one per core, if the memory suffices."""
    batch_size: int = 64
    """Images per encoder batch."""
    write_rows: int = 512
    """Maximum sources per transaction."""
    lookahead_mib: int = 256
    """Maximum size of files (archive members, uploads) that wait in memory."""

    max_file_bytes: int = 256 << 20
    max_text_bytes: int = 16 << 20
    max_pixels: int = MAX_IMAGE_PIXELS
    """Width times height; checked before decoding."""
    file_timeout_seconds: float = 60.0
    """Time that a worker may work on one file, or on one page or frame; then it is killed. The
    total for a PDF or video: see `max_work_seconds`."""
    worker_memory_mib: int = 4096
    """Address space of a worker (Linux only), at most the memory of the machine."""

    max_sidecar_bytes: int = 1 << 20
    """For `name.txt`, `name.json` and one row of a caption table."""
    max_table_bytes: int = 256 << 20
    """For each of `captions.csv`, `metadata.csv`, `metadata.jsonl` and the `.tsv` tables."""
    max_archive_members: int = 200_000
    max_archive_ratio: int = 200
    """Maximum ratio of unpacked to packed bytes, after the first 64 MiB."""

    ocr: OcrMode = "off"
    """OCR of images: ``auto`` runs it only if a quick detection finds text. The setting ``ocr`` of
    a collection has priority."""

    max_rows: int = 100_000
    """Rows of one CSV or JSON Lines file; each becomes a passage."""
    max_pages: int = 2000
    pdf_passwords: tuple[str, ...] = field(default=(), repr=False)
    """Passwords that encrypted PDFs are opened with."""
    page_dpi: int = 150
    page_pixels: int = 4_000_000
    """Maximum width times height of a rendered page."""
    max_video_bytes: int = 4 << 30
    """For a video with a file of its own, which is streamed."""
    max_video_seconds: int = 4 * 3600
    max_video_frames: int = 300
    """Maximum frames per video; in a long video they are further apart."""
    max_work_seconds: int = 1800
    """Time that a worker may work on a whole video. For a PDF: ``file_timeout_seconds`` and one
    second more for each 10 kB, but not more than this. Then the rest is left out."""
    frame_seconds: int = 10
    """Maximum time between frames if the image changes; scene changes add frames."""

    chunk_tokens: int = 256
    """Length of a text chunk, in words or CJK characters."""
    chunk_overlap_tokens: int = 32
    keep_location: bool = True
    """Store where a picture was taken: position and names of places in its metadata."""
    keep_people: bool = True
    """Store the names of people in the metadata of a picture, with their boxes."""
    libre_office: bool = False
    """Show pages of documents, and read old formats, with LibreOffice."""
    keep_patients: bool = False
    """Store names, numbers, dates and free texts of DICOM files."""
    timezone: str = "UTC"
    """IANA time zone of capture times without an offset."""

    bulk_rows: int = 500
    bulk_fraction: float = 0.15
    """Above both this number of new rows and this fraction of the partition, the vector index is
    built after the load: inserting into it is eight times slower."""

    def __post_init__(self) -> None:
        """Validate the values. Raises ConfigurationError."""
        for option in fields(self):
            value = getattr(self, option.name)
            may_be_zero = option.name in ("workers", "chunk_overlap_tokens", "bulk_rows")
            if isinstance(value, bool) or not isinstance(value, int | float):
                continue
            if value < 0 or (value == 0 and not may_be_zero):
                raise ConfigurationError(f"{option.name} is {value}; it must be greater than 0")
        if self.ocr not in get_args(OcrMode):
            raise ConfigurationError(f"ocr is {shown(self.ocr)}; use 'auto', 'on' or 'off'")
        if self.chunk_overlap_tokens >= self.chunk_tokens:
            raise ConfigurationError(
                f"chunk_overlap_tokens is {self.chunk_overlap_tokens}; it must be less than "
                f"chunk_tokens, which is {self.chunk_tokens}"
            )
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"no time zone {shown(self.timezone)}; use an IANA name such as 'Europe/Berlin'"
            ) from error

    def work_seconds(self, name: str, size: int) -> float:
        """Return how long a worker may work on a whole file of ``size`` bytes."""
        if file_type_of(name) in ("video", "audio"):
            return self.max_work_seconds
        if is_stepwise(name):
            seconds = self.file_timeout_seconds + size / _PDF_BYTES_PER_SECOND
            return min(seconds, max(self.max_work_seconds, self.file_timeout_seconds))
        return self.file_timeout_seconds

    def analysis_seconds(self, size: int) -> float:
        """Return how long workers may analyze the passages of a file of ``size`` bytes."""
        return self.file_timeout_seconds + size / _TEXT_BYTES_PER_SECOND

    @property
    def max_passage_chars(self) -> int:
        """Return the limit for one passage: every result with it has to load it."""
        return max(_MIN_PASSAGE_CHARS, _CHARS_PER_TOKEN * self.chunk_tokens)

    @staticmethod
    def max_text_chars(size: int) -> int:
        """Return the limit for all passages and lines of a file of ``size`` bytes."""
        return _FREE_TEXT_CHARS + _TEXT_CHARS_PER_BYTE * size

    @staticmethod
    def max_picture_bytes(size: int) -> int:
        """Return the limit for all pictures that are stored for a file of ``size`` bytes."""
        return _FREE_PICTURE_BYTES + _PICTURE_BYTES_PER_BYTE * size

    @property
    def worker_count(self) -> int:
        """Return the number of worker processes of one ingest."""
        return self.workers or min(available_cores(), self.worker_slots)

    @property
    def worker_slots(self) -> int:
        """Return the number of worker processes of all ingests: at least two if they fit."""
        fitting = (memory_bytes() - _OTHER_BYTES) // _WORKER_BYTES
        return self.workers or max(1, min(max(2, available_cores()), fitting))

    @property
    def worker_limit_mib(self) -> int:
        """Return the limit of a worker on this machine, with room for its code."""
        return min(self.worker_memory_mib, max(_MIN_WORKER_MIB, memory_bytes() >> 20))


@dataclass(frozen=True, slots=True)
class UrlPolicy:
    """Which URLs may be fetched.

    ``hosts`` are names, ``name:port`` for a port other than 443, or ``*.name`` for subdomains.
    ``networks`` are private networks that are allowed besides all public addresses.
    """

    hosts: tuple[str, ...]
    networks: tuple[IpNetwork, ...] = ()
    max_bytes: int = 50_000_000
    timeout_seconds: float = 30.0
    """For one file, including redirects."""

    def allows_host(self, host: str, port: int) -> bool:
        for entry in self.hosts:
            name, _, number = entry.lower().partition(":")
            if int(number or HTTPS_PORT) != port:
                continue
            if host == name or (name.startswith("*.") and host.endswith(name[1:])):
                return True
        return False

    def allows_address(self, address: str) -> bool:
        return is_allowed_address(address, self.networks)
