"""Everything that can be set about an ingest, with its unit in its name."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields
from typing import Literal, get_args
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from sightline.storage.errors import ConfigurationError, shown


def available_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


OcrMode = Literal["auto", "on", "off"]

#: Width times height of an image that is decoded.
MAX_IMAGE_PIXELS = 100_000_000


@dataclass(frozen=True, slots=True)
class IngestOptions:
    """Limits and sizes of one ingest. The defaults suit a desktop machine."""

    workers: int = 0
    """Processes that decode; 0 means one for each core."""
    batch_size: int = 64
    """Pictures that the encoder is given at once."""
    write_rows: int = 512
    """Sources that one transaction may hold."""
    lookahead_mib: int = 256
    """Bytes of files (archive members, uploads) that may wait in memory."""

    max_file_bytes: int = 256 << 20
    max_text_bytes: int = 16 << 20
    max_pixels: int = MAX_IMAGE_PIXELS
    """Width times height; checked before anything is decoded."""
    file_timeout_seconds: float = 60.0
    """How long one file may take before its worker is killed."""
    worker_memory_mib: int = 4096
    """Address space of a worker (on Linux)."""

    max_sidecar_bytes: int = 1 << 20
    """Of `name.txt` and `name.json`, and of one row of a table."""
    max_table_bytes: int = 256 << 20
    """Of `captions.csv`, `metadata.csv` and `metadata.jsonl`."""
    max_archive_members: int = 200_000
    max_archive_ratio: int = 200
    """Bytes that an archive may unpack to for each of its own, past the first 64 MiB."""

    ocr: OcrMode = "off"
    """Whether text in pictures is read: ``auto`` reads where a quick look finds some. The
    setting ``ocr`` of a collection comes before it."""

    max_rows: int = 100_000
    """Of one CSV or JSON Lines file: each is a passage."""
    max_pages: int = 2000
    page_dpi: int = 150
    page_pixels: int = 4_000_000
    """Most that a rendered page has, width times height."""
    max_video_bytes: int = 4 << 30
    """Of a film that has a file of its own: it is read as it goes."""
    max_video_seconds: int = 4 * 3600
    max_video_frames: int = 300
    """Kept of one video; where it is long, they stand further apart."""
    max_video_work_seconds: int = 1800
    """How long one video may take; ``file_timeout_seconds`` holds for each step on the way."""
    frame_seconds: int = 10
    """A frame at least so often, besides those where the scene changes."""

    chunk_tokens: int = 256
    """Length of a passage of a text file, in words or Chinese characters."""
    chunk_overlap_tokens: int = 32
    timezone: str = "UTC"
    """Where a capture time without an offset is taken to be: an IANA name."""

    bulk_rows: int = 500
    bulk_fraction: float = 0.15
    """From so many new rows, and so large a share of the partition, the vector index is built
    after the load: adding to it is eight times slower."""

    def __post_init__(self) -> None:
        """Refuse what cannot work, naming it."""
        for field in fields(self):
            value = getattr(self, field.name)
            zero_is_fine = field.name in ("workers", "chunk_overlap_tokens", "bulk_rows")
            if isinstance(value, int | float) and (value < 0 or (value == 0 and not zero_is_fine)):
                raise ConfigurationError(f"{field.name} is {value}; it must be above 0")
        if self.ocr not in get_args(OcrMode):
            raise ConfigurationError(f"ocr is {shown(self.ocr)}; use 'auto', 'on' or 'off'")
        if self.chunk_overlap_tokens >= self.chunk_tokens:
            raise ConfigurationError(
                f"chunk_overlap_tokens is {self.chunk_overlap_tokens}; it must be below "
                f"chunk_tokens, which is {self.chunk_tokens}"
            )
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ConfigurationError(
                f"no time zone {shown(self.timezone)}; use an IANA name such as 'Europe/Berlin'"
            ) from error

    @property
    def worker_count(self) -> int:
        """Processes that decode."""
        return self.workers or available_cores()
