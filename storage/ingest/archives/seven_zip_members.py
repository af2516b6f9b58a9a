"""The members of a 7-Zip archive."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from functools import partial
from typing import IO

from py7zr import FileInfo, SevenZipFile
from py7zr.exceptions import PasswordRequired
from py7zr.io import Py7zIO, WriterFactory

from sightline.storage.errors import MediaError
from sightline.storage.ingest.archives.archive_members import (
    ArchiveMember,
    UnpackBudget,
    check_count,
    name_failure,
    require_space,
)
from sightline.storage.ingest.ingest_options import IngestOptions


def seven_zip_members(
    file: IO[bytes],
    stack: contextlib.ExitStack,
    budget: UnpackBudget,
    options: IngestOptions,
    report_alive: Callable[[], None],
) -> list[ArchiveMember]:
    """Unpack into one unnamed temporary file: members share their compressed blocks.

    Raises MediaError ``encrypted``, ``archive_bomb`` and others; the library raises anything.
    """
    try:
        # Of a file that is given open, the library unpacks one member after the other.
        archive = stack.enter_context(SevenZipFile(file))
    except PasswordRequired as error:
        raise MediaError("encrypted", "needs a password; unpack it before") from error
    if archive.needs_password():
        raise MediaError("encrypted", "needs a password; unpack it before")
    entries = [each for each in archive.list() if not each.is_directory]
    check_count(len(entries), options)
    failures = {each.filename: _failure(each) for each in entries}
    readable = [name for name, failure in failures.items() if failure is None]
    unpacked = tempfile.TemporaryFile(prefix="sightline-")  # noqa: SIM115 - the stack closes it
    stack.enter_context(unpacked)
    factory = _TemporaryFactory(unpacked, budget, report_alive)
    if readable:
        archive.extract(targets=readable, factory=factory)
    members = []
    for name, failure in failures.items():
        spans = factory.spans.get(name, [])
        members.append(ArchiveMember(name, partial(_read, unpacked, spans), failure))
    return members


def _failure(entry: FileInfo) -> MediaError | None:
    if entry.is_symlink or not entry.is_file:
        return MediaError("not_a_file", "is a link or a device, not a regular file")
    return name_failure(entry.filename)


def _read(file: IO[bytes], spans: list[tuple[int, int]], max_bytes: int) -> bytes:
    pieces: list[bytes] = []
    for start, end in spans:
        file.seek(start)
        pieces.append(file.read(min(end - start, max_bytes)))
        max_bytes -= len(pieces[-1])
    return b"".join(pieces)


class _TemporaryFactory(WriterFactory):
    """Collects where each member is in the temporary file."""

    def __init__(
        self, file: IO[bytes], budget: UnpackBudget, report_alive: Callable[[], None]
    ) -> None:
        self.file, self.budget, self.report_alive = file, budget, report_alive
        self.spans: dict[str, list[tuple[int, int]]] = {}

    def create(self, filename: str) -> Py7zIO:
        return _TemporaryMember(self, self.spans.setdefault(filename, []))


class _TemporaryMember(Py7zIO):
    def __init__(self, factory: _TemporaryFactory, spans: list[tuple[int, int]]) -> None:
        self._factory, self._spans = factory, spans

    def write(self, s: bytes | bytearray) -> int:
        factory, count = self._factory, len(s)
        factory.budget.consume(count)
        require_space(factory.file, count)
        start = factory.file.tell()
        factory.file.write(s)
        self._spans.append((start, start + count))
        factory.report_alive()
        return count

    def read(self, size: int | None = None) -> bytes:  # noqa: ARG002 - of the interface
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:  # noqa: ARG002 - of the interface
        return offset

    def flush(self) -> None:
        """Do nothing: the file is read by this process."""

    def size(self) -> int:
        return sum(end - start for start, end in self._spans)
