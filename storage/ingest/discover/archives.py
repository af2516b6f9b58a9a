"""Archives, read in place: no member is ever written under its own name.

A compressed tar is unpacked into a nameless temporary file first, so that its members can be
read in the order of their names and its sidecars before them.
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
from typing import IO, cast

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.open_file import open_file
from sightline.storage.ingest.discover.caption_tables import Tables, read_table
from sightline.storage.ingest.discover.discovered_file import Found, printable
from sightline.storage.ingest.discover.file_types import claim, hidden
from sightline.storage.ingest.discover.sidecars import (
    TABLE_NAMES,
    Report,
    Sidecar,
    merged,
    read_sidecar,
    sidecars_of,
)
from sightline.storage.ingest.ingest_options import IngestOptions

_FREE_BYTES = 64 << 20
_CHUNK = 1 << 20
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Member:
    """A regular file of an archive, or why it cannot be taken."""

    name: str
    read: Callable[[int], bytes]
    failure: MediaError | None = None


class Budget:
    """Bytes that an archive may still unpack to."""

    def __init__(self, archive_bytes: int, ratio: int) -> None:
        self._left = _FREE_BYTES + archive_bytes * ratio
        self._ratio = ratio

    def spend(self, count: int) -> None:
        """Take ``count`` bytes. Raises MediaError ``archive_bomb``."""
        self._left -= count
        if self._left < 0:
            raise MediaError(
                "archive_bomb", f"unpacks to over {self._ratio} times the size of its archive"
            )


def archive_members(
    path: str, shown: str, options: IngestOptions, report: Report
) -> Iterator[Found]:
    """The members of the archive at ``path`` by folder and name, each named ``shown/member``.

    One that cannot be taken is a failure; so is the archive itself where it is broken.
    """
    place = path
    try:
        descriptor, stamp = open_file(path, 1 << 62)
    except MediaError as error:
        yield Found(shown, failure=error, place=place)
        return
    budget = Budget(stamp.size, options.max_archive_ratio)
    with contextlib.ExitStack() as stack:
        file = stack.enter_context(open(descriptor, "rb"))  # noqa: PTH123 - a descriptor
        try:
            if claim(shown) == "archive" and zipfile.is_zipfile(file):
                members = _zip_members(stack.enter_context(zipfile.ZipFile(file)), options)
            else:
                members = _tar_members(file, stack, budget, options)
        except MediaError as error:
            yield Found(shown, failure=error, place=place)
            return
        except (*_BROKEN, NotImplementedError) as error:
            message = f"is not an archive that can be read: {error}"
            yield Found(shown, failure=MediaError("archive_broken", message), place=place)
            return
        archive = Found(shown, place=place)
        shelf = _Shelf(members, archive, budget=budget, options=options, report=report)
        yield from shelf.all()


class _Shelf:
    """The members of one archive with what is said about them."""

    def __init__(
        self,
        members: list[Member],
        archive: Found,
        *,
        budget: Budget,
        options: IngestOptions,
        report: Report,
    ) -> None:
        self._members = {member.name: member for member in members}
        self._shown = archive.name
        self._place = archive.place
        self._budget = budget
        self._options = options
        self._report = report
        self._tables = Tables()

    def all(self) -> Iterator[Found]:
        folders: dict[str, list[str]] = {}
        for name in sorted(self._members):
            if not any(hidden(part) for part in name.split("/")):
                folders.setdefault(posixpath.dirname(name), []).append(name)
        for folder in sorted(folders):
            self._enter_down_to(folder, folders)
            own = sidecars_of(folders[folder])
            aside = {sidecar for sidecars in own.values() for sidecar in sidecars}
            for name in folders[folder]:
                if name not in aside and posixpath.basename(name) not in TABLE_NAMES:
                    yield self._found(name, own.get(name, []))

    def _found(self, name: str, own: list[str]) -> Found:
        member = self._members[name]
        found = Found(
            printable(f"{self._shown}/{name}"),
            place=f"{self._place}//{name}",
            failure=member.failure,
        )
        if found.failure is None and claim(name) == "archive":
            found.failure = MediaError("unsupported", "is an archive within an archive")
        if found.failure is None:
            found.load = lambda: self._load(member, self._options.max_file_bytes)
            found.sidecar = self._sidecar(name, own)
        return found

    def _load(self, member: Member, max_bytes: int) -> bytes:
        """A member's bytes. Raises MediaError."""
        try:
            data = member.read(max_bytes + 1)
        except _BROKEN as error:
            raise MediaError("broken", f"cannot be unpacked: {error}") from error
        self._budget.spend(len(data))
        if len(data) > max_bytes:
            raise MediaError("too_large", f"unpacks to more than {max_bytes:,} bytes")
        if not data:
            raise MediaError("empty", "has no bytes")
        return data

    def _sidecar(self, name: str, own: list[str]) -> Sidecar | None:
        parts: list[Sidecar] = []
        for sidecar in own:
            data = self._text(sidecar, self._options.max_sidecar_bytes)
            try:
                if data is not None:
                    parts.append(read_sidecar(sidecar, data))
            except ValueError as error:
                self._report("sidecar_broken", f"{self._shown}/{sidecar}", str(error))
        return merged(parts + self._tables.lookup(name, self._report))

    def _enter_down_to(self, folder: str, folders: dict[str, list[str]]) -> None:
        """Have exactly the tables of ``folder`` and of those above it at hand."""
        self._tables.keep_above(folder)
        parts = folder.split("/") if folder else []
        for depth in range(len(parts) + 1):
            above = "/".join(parts[:depth])
            if self._tables.has(above):
                continue
            tables = []
            for base in TABLE_NAMES:
                name = f"{above}/{base}" if above else base
                if name in folders.get(above, []):
                    data = self._text(name, self._options.max_table_bytes)
                    if data is not None:
                        limit = self._options.max_sidecar_bytes
                        tables.append(
                            read_table(f"{self._shown}/{name}", data, limit, self._report)
                        )
            self._tables.enter(above, tables)

    def _text(self, name: str, max_bytes: int) -> bytes | None:
        member = self._members[name]
        try:
            if member.failure is not None:
                raise member.failure
            return self._load(member, max_bytes)
        except MediaError as error:
            if error.code != "empty":
                self._report("sidecar_unreadable", f"{self._shown}/{name}", str(error))
            return None


def _zip_members(archive: zipfile.ZipFile, options: IngestOptions) -> list[Member]:
    entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    _check_count(len(entries), options)
    members = []
    for entry in entries:
        failure = _name_failure(entry.filename)
        if entry.flag_bits & 1:
            failure = MediaError("encrypted", "is encrypted")
        elif entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            # Others unpack without a bound on the memory that one step takes.
            failure = MediaError("unsupported", "is packed by a method other than deflate")
        members.append(Member(entry.filename, _zip_reader(archive, entry), failure))
    return members


def _zip_reader(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> Callable[[int], bytes]:
    def read(max_bytes: int) -> bytes:
        with archive.open(entry) as file:
            return file.read(max_bytes)

    return read


def _tar_members(
    file: IO[bytes], stack: contextlib.ExitStack, budget: Budget, options: IngestOptions
) -> list[Member]:
    file.seek(0)
    if file.read(2) == b"\x1f\x8b":
        file.seek(0)
        file = _gunzip(file, stack, budget)
    file.seek(0)
    careful = cast("IO[bytes]", _Careful(file, options))
    archive = stack.enter_context(contextlib.closing(tarfile.TarFile(fileobj=careful)))
    members: list[Member] = []
    while (entry := archive.next()) is not None:
        if entry.isdir():
            continue
        _check_count(len(members) + 1, options)
        failure = _name_failure(entry.name)
        if not entry.isreg() or entry.issparse():
            failure = MediaError("not_a_file", "is a link or a device, not a regular file")
        members.append(Member(entry.name, _tar_reader(archive, entry), failure))
    return members


def _tar_reader(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> Callable[[int], bytes]:
    def read(max_bytes: int) -> bytes:
        file = archive.extractfile(entry)
        return file.read(max_bytes) if file is not None else b""

    return read


def _gunzip(file: IO[bytes], stack: contextlib.ExitStack, budget: Budget) -> IO[bytes]:
    unpacked = tempfile.TemporaryFile(prefix="sightline-")  # noqa: SIM115 - the stack closes it
    stack.enter_context(unpacked)
    with gzip.GzipFile(fileobj=file) as packed:
        while chunk := packed.read(_CHUNK):
            budget.spend(len(chunk))
            unpacked.write(chunk)
    return unpacked


class _Careful:
    """A tar file that refuses the huge reads that a forged header asks for."""

    def __init__(self, file: IO[bytes], options: IngestOptions) -> None:
        self._file = file
        self._max_bytes = options.max_file_bytes + _CHUNK
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= self._max_bytes:
            raise tarfile.ReadError(f"a header that claims {size:,} bytes")
        return self._file.read(size)


def _name_failure(name: str) -> MediaError | None:
    parts = name.split("/")
    if name.startswith("/") or ".." in parts or "\\" in name or "\0" in name:
        return MediaError("unsafe_name", "has a name that leads out of its archive")
    return None


def _check_count(count: int, options: IngestOptions) -> None:
    if count > options.max_archive_members:
        raise MediaError(
            "archive_bomb", f"has over {options.max_archive_members:,} members, the limit"
        )
