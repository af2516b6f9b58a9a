"""Members of archives and what they may unpack to; the members of a ZIP."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import IO

from sightline.storage.errors import MediaError
from sightline.storage.ingest.ingest_options import IngestOptions

CHUNK_BYTES = 1 << 20
_FREE_BYTES = 64 << 20
_MAX_ZIP_DIRECTORY_BYTES = 64 << 20
_ZIP_ENTRY = b"PK\x01\x02"
_MAX_UNPACKED_BYTES = 16 << 30  # of a temporary file


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """A member of an archive. ``read`` takes the maximum number of bytes."""

    name: str
    read: Callable[[int], bytes]
    failure: MediaError | None = None


class UnpackBudget:
    """Limits the bytes that an archive may unpack to."""

    def __init__(self, archive_bytes: int, max_ratio: int) -> None:
        self._available = _FREE_BYTES + archive_bytes * max_ratio
        self._max_ratio = max_ratio

    def consume(self, count: int) -> None:
        """Consume ``count`` bytes. Raises MediaError ``archive_bomb``."""
        self._available -= count
        if self._available < 0:
            raise MediaError(
                "archive_bomb", f"unpacks to more than {self._max_ratio} times its own size"
            )


def zip_members(archive: zipfile.ZipFile, options: IngestOptions) -> list[ArchiveMember]:
    check_count(len(archive.infolist()), options)
    members = []
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        failure = name_failure(entry.filename)
        if entry.flag_bits & 1:
            failure = MediaError("encrypted", "is encrypted")
        elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Other methods do not bound the memory of one decompression step.
            failure = MediaError("unsupported", "uses a compression method other than deflate")
        members.append(ArchiveMember(entry.filename, partial(_read_zip, archive, entry), failure))
    return members


def _read_zip(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, max_bytes: int) -> bytes:
    with archive.open(entry) as file:
        return file.read(max_bytes)


def require_space(unpacked: IO[bytes], count: int) -> None:
    """Raise MediaError unless as much is left on the disk as the archive takes."""
    size = unpacked.tell() + count
    if size > _MAX_UNPACKED_BYTES:
        reason = f"unpacks to more than {_MAX_UNPACKED_BYTES:,} bytes; unpack it before"
        raise MediaError("too_large", reason)
    disk = os.fstatvfs(unpacked.fileno())
    if disk.f_bavail * disk.f_frsize < size:
        raise MediaError(
            "too_large", "would take more than half of the free disk; unpack it before"
        )


class BoundedZipReader:
    """Refuses a directory of a zip that is too large, before it is parsed."""

    def __init__(self, file: IO[bytes], options: IngestOptions) -> None:
        self._file, self._options = file, options
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self.close = file.close

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes; the whole directory is one read. Raises MediaError."""
        if size > self._options.max_file_bytes + CHUNK_BYTES:
            raise MediaError("archive_bomb", f"has a header that claims {size:,} bytes")
        data = self._file.read(size)
        if data.startswith(_ZIP_ENTRY):
            if len(data) > _MAX_ZIP_DIRECTORY_BYTES:
                raise MediaError("archive_bomb", f"has a directory of {len(data):,} bytes")
            check_count(data.count(_ZIP_ENTRY), self._options)
        return data


def name_failure(name: str) -> MediaError | None:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        return MediaError("unsafe_name", "has a name that leads out of the archive")
    return None


def check_count(count: int, options: IngestOptions) -> None:
    if count > options.max_archive_members:
        raise MediaError(
            "archive_bomb", f"has more than {options.max_archive_members:,} members, the limit"
        )
