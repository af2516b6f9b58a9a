"""Read archives in place: no member is ever written under its own name.

A compressed tar and 7-Zip are first unpacked into an unnamed temporary file, so that members can be
read in order of their names and sidecars before them.
"""

from __future__ import annotations

import contextlib
import posixpath
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import IO, cast

from sightline.storage.errors import MediaError
from sightline.storage.ingest.archives.archive_members import (
    ArchiveMember,
    BoundedZipReader,
    UnpackBudget,
    zip_members,
)
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.open_file import open_file
from sightline.storage.ingest.discover.file_names import is_hidden, printable_path
from sightline.storage.ingest.discover.sidecar_loader import SidecarLoader
from sightline.storage.ingest.discover.sidecar_names import files_of
from sightline.storage.ingest.discover.sidecars import TreeFile, TreeFolder
from sightline.storage.ingest.formats import file_type_of, suffix_of
from sightline.storage.ingest.ingest_options import IngestOptions

_SEVEN_ZIP = b"7z\xbc\xaf\x27\x1c"


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
            members = _members(file, name, stack, budget, options, report_alive)
        except (MediaError, MemoryError):
            raise
        except Exception as error:
            raise MediaError("archive_broken", f"is not a readable archive: {error}") from error
        by_name = {member.name: member for member in members}
        yield ArchiveTree(by_name, name, path, budget, options.max_file_bytes)


def _members(
    file: IO[bytes],
    name: str,
    stack: contextlib.ExitStack,
    budget: UnpackBudget,
    options: IngestOptions,
    report_alive: Callable[[], None],
) -> list[ArchiveMember]:
    """Return the members; the libraries raise anything on hostile archives."""
    start = file.read(len(_SEVEN_ZIP))
    file.seek(0)
    if suffix_of(name) == ".eml":
        from sightline.storage.ingest.archives.mail_members import mail_members

        return mail_members(file, options)
    if start == _SEVEN_ZIP:
        from sightline.storage.ingest.archives.seven_zip_members import seven_zip_members

        return seven_zip_members(file, stack, budget, options, report_alive)
    if file_type_of(name) == "archive" and zipfile.is_zipfile(file):
        bounded = cast("IO[bytes]", BoundedZipReader(file, options))
        return zip_members(stack.enter_context(zipfile.ZipFile(bounded)), options)
    from sightline.storage.ingest.archives.tar_members import tar_members

    return tar_members(file, stack, budget, options, report_alive)


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
                kind = "an e-mail" if file.path.lower().endswith(".eml") else "an archive"
                advice = "unpack the outer one and ingest the folder"
                raise MediaError("unsupported", f"is {kind} inside an archive; {advice}")
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
