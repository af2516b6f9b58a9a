"""Read archives in place: no member is ever written under its own name.

A compressed tar is first unpacked into an unnamed temporary file, so that members can be read in
order of their names and sidecars before them.
"""

from __future__ import annotations

import contextlib
import gzip
import itertools
import os
import posixpath
import tarfile
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, cast

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.open_file import open_file
from sightline.storage.ingest.discover.file_names import is_hidden, printable_path
from sightline.storage.ingest.discover.sidecar_loader import SidecarLoader
from sightline.storage.ingest.discover.sidecar_names import files_of
from sightline.storage.ingest.discover.sidecars import TreeFile, TreeFolder
from sightline.storage.ingest.formats import file_type_of
from sightline.storage.ingest.ingest_options import IngestOptions

_FREE_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_MAX_ZIP_DIRECTORY_BYTES = 64 << 20
_ZIP_ENTRY = b"PK\x01\x02"
# Names longer than this and chains of headers are hostile: parsing them can take quadratic time.
_MAX_TAR_HEADER_BYTES = 8 << 10
_MAX_TAR_HEADERS = 64
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


def read_archive(
    request: messages.ArchiveRequest, options: IngestOptions, report_alive: Callable[[], None]
) -> Iterator[messages.FoundFile | messages.PartWarning]:
    """Yield the files of an archive with their sidecars, and warnings about sidecars.

    Runs in a worker: whatever a hostile archive does to the libraries fails that archive alone.
    Raises MediaError if it is broken.
    """
    with _open_archive(request.path, request.name, options, report_alive) as tree:
        sidecars = SidecarLoader(tree, options, report_alive)
        for item in tree.walk():
            if isinstance(item, TreeFolder):
                sidecars.enter(item)
            elif not sidecars.is_table(item.path):
                yield tree.file_of(item, sidecars)
            yield from sidecars.take_warnings()


@contextlib.contextmanager
def _open_archive(
    path: str, name: str, options: IngestOptions, report_alive: Callable[[], None]
) -> Iterator[ArchiveTree]:
    descriptor, stamp = open_file(path, 1 << 62)
    budget = UnpackBudget(stamp.size, options.max_archive_ratio)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(descriptor, "rb"))  # noqa: PTH123 - a descriptor
        try:
            if file_type_of(name) == "archive" and zipfile.is_zipfile(file):
                bounded = cast("IO[bytes]", BoundedZipReader(file, options))
                archive = stack.enter_context(zipfile.ZipFile(bounded))
                members = _zip_members(archive, options)
            else:
                members = _tar_members(file, stack, budget, options, report_alive)
        except (MediaError, MemoryError):
            raise
        except Exception as error:
            raise MediaError("archive_broken", f"is not a readable archive: {error}") from error
        by_name = {member.name: member for member in members}
        yield ArchiveTree(by_name, name, path, budget, options.max_file_bytes)


@dataclass(frozen=True, slots=True)
class ArchiveTree:
    """One archive with its members by name."""

    members: dict[str, ArchiveMember]
    name: str
    place: str
    budget: UnpackBudget
    max_file_bytes: int

    def walk(self) -> Iterator[TreeFolder | TreeFile]:
        folders: dict[str, list[str]] = {}
        for path in sorted(self.members):
            if not any(is_hidden(part) for part in path.split("/")):
                folders.setdefault(posixpath.dirname(path), []).append(path)
        for folder in sorted(folders, key=lambda path: path.split("/")):
            yield TreeFolder(folder, folders[folder])
            yield from files_of(folders[folder])

    def file_of(self, file: TreeFile, sidecars: SidecarLoader) -> messages.FoundFile:
        """Return a file with its bytes, or its failure."""
        name, place = self.display_name(file.path), f"{self.place}//{printable_path(file.path)}"
        try:
            if (failure := self.members[file.path].failure) is not None:
                raise failure
            if file_type_of(file.path) == "archive":
                raise MediaError("unsupported", "is an archive inside an archive")
            data = self.read(file.path, self.max_file_bytes)
        except MediaError as error:
            return messages.FoundFile(name, place, code=error.code, reason=str(error))
        return messages.FoundFile(name, place, data=data, sidecar=sidecars.load(file))

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return the bytes of a member. Raises MediaError."""
        member = self.members[path]
        if member.failure is not None:
            raise member.failure
        try:
            data = member.read(max_bytes + 1)
        except MemoryError:
            raise
        except Exception as error:  # the libraries raise anything on hostile members
            raise MediaError("broken", f"cannot be unpacked: {error}") from error
        self.budget.consume(len(data))
        if len(data) > max_bytes:
            raise MediaError("too_large", f"unpacks to more than {max_bytes:,} bytes")
        if not data:
            raise MediaError("empty", "has no bytes")
        return data

    def display_name(self, path: str) -> str:
        return printable_path(f"{self.name}/{path}")


def _zip_members(archive: zipfile.ZipFile, options: IngestOptions) -> list[ArchiveMember]:
    _check_count(len(archive.infolist()), options)
    members = []
    for entry in archive.infolist():
        if entry.is_dir():
            continue
        failure = _name_failure(entry.filename)
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


def _tar_members(
    file: IO[bytes],
    stack: contextlib.ExitStack,
    budget: UnpackBudget,
    options: IngestOptions,
    report_alive: Callable[[], None],
) -> list[ArchiveMember]:
    file.seek(0)
    if file.read(2) == b"\x1f\x8b":
        file.seek(0)
        unpacked = tempfile.TemporaryFile(prefix="sightline-")  # noqa: SIM115 - the stack closes it
        stack.enter_context(unpacked)
        with gzip.GzipFile(fileobj=file) as packed:
            while chunk := packed.read(_CHUNK_BYTES):
                budget.consume(len(chunk))
                _require_space(unpacked, len(chunk))
                unpacked.write(chunk)
                report_alive()
        file = unpacked
    file.seek(0)
    reader = BoundedTarReader(file, options)
    archive = tarfile.TarFile(fileobj=cast("IO[bytes]", reader))
    stack.enter_context(contextlib.closing(archive))
    members: list[ArchiveMember] = []
    for number in itertools.count(1):
        reader.begin_member()
        if (entry := archive.next()) is None:
            break
        _check_count(number, options)
        report_alive()
        if entry.isdir():
            continue
        failure = _name_failure(entry.name)
        if not entry.isreg() or entry.issparse():
            failure = MediaError("not_a_file", "is a link or a device, not a regular file")
        members.append(ArchiveMember(entry.name, partial(_read_tar, archive, entry), failure))
    reader.end_headers()
    return members


def _require_space(unpacked: IO[bytes], count: int) -> None:
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


def _read_tar(archive: tarfile.TarFile, entry: tarfile.TarInfo, max_bytes: int) -> bytes:
    file = archive.extractfile(entry)
    return file.read(max_bytes) if file is not None else b""


class BoundedTarReader:
    """Refuses what forged headers of a tar ask for: huge reads, and chains of headers."""

    def __init__(self, file: IO[bytes], options: IngestOptions) -> None:
        self._file = file
        self._max_file_bytes = options.max_file_bytes + _CHUNK_BYTES
        self._max_bytes = _MAX_TAR_HEADER_BYTES
        self._reads = 0
        self.seek, self.tell = file.seek, file.tell

    def begin_member(self) -> None:
        """Start to count the reads for the headers of the next member."""
        self._reads = 0

    def end_headers(self) -> None:
        """Allow the reads of file contents."""
        self._max_bytes = self._max_file_bytes

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes. Raises tarfile.ReadError above the limits."""
        if not 0 <= size <= self._max_bytes:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        self._reads += 1
        if self._max_bytes < self._max_file_bytes and self._reads > _MAX_TAR_HEADERS:
            raise tarfile.ReadError(f"a member has more than {_MAX_TAR_HEADERS} headers")
        return self._file.read(size)


class BoundedZipReader:
    """Refuses a directory of a zip that is too large, before it is parsed."""

    def __init__(self, file: IO[bytes], options: IngestOptions) -> None:
        self._file, self._options = file, options
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable
        self.close = file.close

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes; the whole directory is one read. Raises MediaError."""
        if size > self._options.max_file_bytes + _CHUNK_BYTES:
            raise MediaError("archive_bomb", f"has a header that claims {size:,} bytes")
        data = self._file.read(size)
        if data.startswith(_ZIP_ENTRY):
            if len(data) > _MAX_ZIP_DIRECTORY_BYTES:
                raise MediaError("archive_bomb", f"has a directory of {len(data):,} bytes")
            _check_count(data.count(_ZIP_ENTRY), self._options)
        return data


def _name_failure(name: str) -> MediaError | None:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        return MediaError("unsafe_name", "has a name that leads out of the archive")
    return None


def _check_count(count: int, options: IngestOptions) -> None:
    if count > options.max_archive_members:
        raise MediaError(
            "archive_bomb", f"has more than {options.max_archive_members:,} members, the limit"
        )
