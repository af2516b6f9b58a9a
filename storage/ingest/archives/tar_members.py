"""The members of a TAR, also of a compressed one."""

from __future__ import annotations

import bz2
import contextlib
import gzip
import itertools
import lzma
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from typing import IO, cast

from sightline.storage.errors import MediaError
from sightline.storage.ingest.archives.archive_members import (
    CHUNK_BYTES,
    ArchiveMember,
    UnpackBudget,
    check_count,
    name_failure,
    require_space,
)
from sightline.storage.ingest.ingest_options import IngestOptions

# Names longer than this and chains of headers are hostile: parsing them can take quadratic time.
_MAX_TAR_HEADER_BYTES = 8 << 10
_MAX_TAR_HEADERS = 64
_MAX_LZMA_BYTES = 512 << 20  # of its dictionary
_XZ, _GZIP, _BZIP2 = b"\xfd7zXZ", b"\x1f\x8b", b"BZh"


def tar_members(
    file: IO[bytes],
    stack: contextlib.ExitStack,
    budget: UnpackBudget,
    options: IngestOptions,
    report_alive: Callable[[], None],
) -> list[ArchiveMember]:
    file.seek(0)
    start = file.read(len(_XZ))
    file.seek(0)
    if start.startswith((_XZ, _GZIP, _BZIP2)):
        unpacked = tempfile.TemporaryFile(prefix="sightline-")  # noqa: SIM115 - the stack closes it
        stack.enter_context(unpacked)
        for chunk in _unpacked(file, start):
            budget.consume(len(chunk))
            require_space(unpacked, len(chunk))
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
        check_count(number, options)
        report_alive()
        if entry.isdir():
            continue
        failure = name_failure(entry.name)
        if not entry.isreg() or entry.issparse():
            failure = MediaError("not_a_file", "is a link or a device, not a regular file")
        members.append(ArchiveMember(entry.name, partial(_read_tar, archive, entry), failure))
    reader.end_headers()
    return members


def _unpacked(file: IO[bytes], start: bytes) -> Iterator[bytes]:
    """Yield pieces of a compressed file. The libraries raise anything on broken ones."""
    if start.startswith(_XZ):
        yield from _unpacked_xz(file)
        return
    packed = gzip.GzipFile(fileobj=file) if start.startswith(_GZIP) else bz2.BZ2File(file)
    with packed:
        while chunk := packed.read(CHUNK_BYTES):
            yield chunk


def _unpacked_xz(file: IO[bytes]) -> Iterator[bytes]:
    """Yield pieces of an xz file; unlike LZMAFile, with a limit for its dictionary."""
    rest = b""
    while rest or (rest := file.read(CHUNK_BYTES)):
        stream = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_MAX_LZMA_BYTES)
        while not stream.eof:
            if stream.needs_input and not rest and not (rest := file.read(CHUNK_BYTES)):
                raise EOFError("the file ends too early")
            yield stream.decompress(rest, CHUNK_BYTES)
            rest = b""
        rest = stream.unused_data.lstrip(b"\0")  # streams are padded with zeros


def _read_tar(archive: tarfile.TarFile, entry: tarfile.TarInfo, max_bytes: int) -> bytes:
    file = archive.extractfile(entry)
    return file.read(max_bytes) if file is not None else b""


class BoundedTarReader:
    """Refuses what forged headers of a tar ask for: huge reads, and chains of headers."""

    def __init__(self, file: IO[bytes], options: IngestOptions) -> None:
        self._file = file
        self._max_file_bytes = options.max_file_bytes + CHUNK_BYTES
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
