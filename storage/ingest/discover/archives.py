"""Read archives in place: no member is ever written under its own name.

A compressed tar is first unpacked into an unnamed temporary file, so that members can be read in
order of their names and sidecars before them.
"""

from __future__ import annotations

import contextlib
import gzip
import posixpath
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import IO, cast

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.open_file import open_file
from sightline.storage.ingest.discover.file_types import file_type_of, is_hidden
from sightline.storage.ingest.discover.sidecars import TreeFile, TreeFolder, files_of
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import DiscoveredFile, printable_path

_FREE_BYTES = 64 << 20
_CHUNK_BYTES = 1 << 20
_READ_ERRORS = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError)


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


@contextlib.contextmanager
def open_archive(path: str, name: str, options: IngestOptions) -> Iterator[ArchiveTree]:
    """Open the archive at ``path``. Raises MediaError if it is broken."""
    descriptor, stamp = open_file(path, 1 << 62)
    budget = UnpackBudget(stamp.size, options.max_archive_ratio)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(descriptor, "rb"))  # noqa: PTH123 - a descriptor
        try:
            if file_type_of(name) == "archive" and zipfile.is_zipfile(file):
                archive = stack.enter_context(zipfile.ZipFile(file))
                members = _zip_members(archive, options)
            else:
                members = _tar_members(file, stack, budget, options)
        except (*_READ_ERRORS, NotImplementedError) as error:
            raise MediaError("archive_broken", f"is not a readable archive: {error}") from error
        by_name = {member.name: member for member in members}
        yield ArchiveTree(by_name, name, path, budget, options.max_file_bytes)


@dataclass(frozen=True, slots=True)
class ArchiveTree:
    """One archive with its members by name; same methods as `walk.DirectoryTree`."""

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

    def open(self, file: TreeFile) -> DiscoveredFile:
        """Return a file that loads its bytes on demand, or its failure."""
        member = self.members[file.path]
        name, place = self.display_name(file.path), f"{self.place}//{file.path}"
        failure = member.failure
        if failure is None and file_type_of(file.path) == "archive":
            failure = MediaError("unsupported", "is an archive inside an archive")
        load = partial(self.read, file.path, self.max_file_bytes)
        return DiscoveredFile(name, place=place, load=load, failure=failure)

    def read(self, path: str, max_bytes: int) -> bytes:
        """Return the bytes of a member. Raises MediaError."""
        member = self.members[path]
        if member.failure is not None:
            raise member.failure
        try:
            data = member.read(max_bytes + 1)
        except _READ_ERRORS as error:
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
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    _check_count(len(entries), options)
    members = []
    for entry in entries:
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
    file: IO[bytes], stack: contextlib.ExitStack, budget: UnpackBudget, options: IngestOptions
) -> list[ArchiveMember]:
    file.seek(0)
    if file.read(2) == b"\x1f\x8b":
        file.seek(0)
        unpacked = tempfile.TemporaryFile(prefix="sightline-")  # noqa: SIM115 - the stack closes it
        stack.enter_context(unpacked)
        with gzip.GzipFile(fileobj=file) as packed:
            while chunk := packed.read(_CHUNK_BYTES):
                budget.consume(len(chunk))
                unpacked.write(chunk)
        file = unpacked
    file.seek(0)
    reader = cast("IO[bytes]", BoundedTarReader(file, options))
    archive = stack.enter_context(contextlib.closing(tarfile.TarFile(fileobj=reader)))
    members: list[ArchiveMember] = []
    while (entry := archive.next()) is not None:
        if entry.isdir():
            continue
        _check_count(len(members) + 1, options)
        failure = _name_failure(entry.name)
        if not entry.isreg() or entry.issparse():
            failure = MediaError("not_a_file", "is a link or a device, not a regular file")
        members.append(ArchiveMember(entry.name, partial(_read_tar, archive, entry), failure))
    return members


def _read_tar(archive: tarfile.TarFile, entry: tarfile.TarInfo, max_bytes: int) -> bytes:
    file = archive.extractfile(entry)
    return file.read(max_bytes) if file is not None else b""


class BoundedTarReader:
    """Refuses the huge reads that a forged tar header asks for."""

    def __init__(self, file: IO[bytes], options: IngestOptions) -> None:
        self._file = file
        self._max_bytes = options.max_file_bytes + _CHUNK_BYTES
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        """Read ``size`` bytes. Raises tarfile.ReadError above the limit."""
        if not 0 <= size <= self._max_bytes:
            raise tarfile.ReadError(f"a header claims {size:,} bytes")
        return self._file.read(size)


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
