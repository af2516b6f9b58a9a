"""Finds the sources whose files are gone, and forgets them.

A file may be gone because it was deleted, or because its disk is not mounted, and then it will come
back. What Sightline forgets it must encode again, and annotations are lost. So a file counts as
deleted only if its folder still has a file, or if its folder is gone too, but files of the
collection are left beside it on the same disk. Otherwise it is doubtful.
"""

from __future__ import annotations

import asyncio
import os
import posixpath
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import fetch_all, load_sql
from sightline.storage.ingest.failed_files import path_of
from sightline.storage.records import collections, deletion
from sightline.storage.records.collections import Collection
from sightline.storage.records.deletion import DeletionResult

_SQL = load_sql("missing_files")
#: Sources that one transaction deletes.
_BATCH_SOURCES: Final = 500
#: Where systems mount disks; their folders vanish with the disk.
_MOUNT_FOLDERS: Final = frozenset({"/", "/mnt", "/media", "/run/media", "/Volumes", "/net"})

FolderIdentity = Literal["same", "other_disk", "unknown"]
#: Compares a folder with what it was when its files were there.
IdentifyFolder = Callable[[str], FolderIdentity]


@dataclass(frozen=True, slots=True)
class SourceFile:
    """A source with a file, or one that failed, with the number of its assets."""

    id: int
    name: str
    location: str
    state: Literal["done", "failed"]
    assets: int

    @property
    def path(self) -> str:
        """Return the path of the file, or of its archive."""
        return path_of(self.location) or ""


@dataclass(frozen=True, slots=True)
class DoubtfulFolder:
    """A folder whose files are gone or cannot be read, and why they may come back."""

    folder: str
    reason: str
    files: tuple[SourceFile, ...]


@dataclass(frozen=True, slots=True)
class MissingFiles:
    """The files of a collection that are gone; ``checked`` is the number of all."""

    collection: Collection
    checked: int
    deleted: tuple[SourceFile, ...]
    doubtful: tuple[DoubtfulFolder, ...]

    def with_doubtful(self) -> tuple[SourceFile, ...]:
        """Return all files that are gone, also the doubtful ones."""
        return (*self.deleted, *(file for each in self.doubtful for file in each.files))


async def find_missing(
    database: Database,
    collection: str,
    *,
    within: Sequence[str] | None = None,
    identify_folder: IdentifyFolder = lambda _: "unknown",
) -> MissingFiles:
    """Return the missing files of a collection.

    ``within`` are real paths that limit the result. Raises UnknownNameError.
    """
    async with database.connection() as connection:
        target = await collections.get(connection, collection)
        params = {"collection_id": target.id}
        files = await fetch_all(connection, _SQL["source_files"], params, row=SourceFile)
    return await asyncio.to_thread(_sort_out, target, files, within, identify_folder)


async def forget_files(
    database: Database,
    blobs: BlobStore,
    collection: Collection,
    files: Sequence[SourceFile],
    progress: Callable[[int], None] = lambda _: None,
) -> DeletionResult:
    """Delete the sources of files that are still gone, in batches.

    ``progress`` is called with the number of files that were treated. Raises LockTimeoutError if an
    ingest keeps writing to the collection; whole batches are deleted then.
    """
    total = DeletionResult(assets=0, sources=0, passages=0, annotations=0, blobs=0)
    for start in range(0, len(files), _BATCH_SOURCES):
        batch = files[start : start + _BATCH_SOURCES]
        gone = await asyncio.to_thread(lambda batch: [f for f in batch if not _exists(f)], batch)
        locations = {each.id: each.location for each in gone}
        deleted = await deletion.delete_sources_at(database, blobs, collection, locations)
        total += deleted
        progress(start + len(batch))
    return total


def _exists(file: SourceFile) -> bool:
    return _state(file.path) == "exists"


def _state(path: str) -> str:
    """Return ``exists``, ``gone`` or why the file cannot be reached."""
    try:
        os.stat(path)  # noqa: PTH116 - a million of them
    except (FileNotFoundError, NotADirectoryError):
        return "gone"
    except OSError as error:
        return error.strerror or str(error)
    except ValueError:  # a null character
        return "gone"
    return "exists"


def _sort_out(
    collection: Collection,
    files: Sequence[SourceFile],
    within: Sequence[str] | None,
    identify_folder: IdentifyFolder,
) -> MissingFiles:
    """Return which files are deleted and which are doubtful."""
    present, gone, unreachable = [], [], []
    for file in files:
        state = _state(file.path)
        if state == "exists":
            present.append(file.path)
        elif within is not None and not _is_within(file.path, within):
            continue
        elif state == "gone":
            gone.append(file)
        else:
            unreachable.append((file, state))
    judge = _Judge(present, identify_folder)
    doubts: dict[tuple[str, str], list[SourceFile]] = defaultdict(list)
    deleted = []
    for file in gone:
        doubt = judge.doubt(posixpath.dirname(file.path))
        if doubt is None:
            deleted.append(file)
        else:
            doubts[doubt].append(file)
    for file, reason in unreachable:
        doubts[posixpath.dirname(file.path), f"cannot be read: {reason}"].append(file)
    doubtful = (
        DoubtfulFolder(folder, reason, tuple(each))
        for (folder, reason), each in sorted(doubts.items())
    )
    return MissingFiles(collection, len(files), tuple(deleted), tuple(doubtful))


def _is_within(path: str, roots: Iterable[str]) -> bool:
    return any(path == root or path.startswith(root.rstrip("/") + "/") for root in roots)


class _Judge:
    """Decides by its folder whether a missing file was deleted."""

    def __init__(self, present: Iterable[str], identify_folder: IdentifyFolder) -> None:
        self._identify_folder = identify_folder
        self._direct = {posixpath.dirname(path) for path in present}
        #: The folders in a folder that contain a present file, at any depth.
        self._children: defaultdict[str, set[str]] = defaultdict(set)
        for each in self._direct:
            child, parent = each, posixpath.dirname(each)
            while parent != child and child not in self._children[parent]:
                self._children[parent].add(child)
                child, parent = parent, posixpath.dirname(parent)
        self._doubts: dict[str, tuple[str, str] | None] = {}

    def doubt(self, folder: str) -> tuple[str, str] | None:
        """Return why the files of a folder may come back, and the folder to name."""
        if folder not in self._doubts:
            self._doubts[folder] = self._judge(folder)
        return self._doubts[folder]

    def _judge(self, folder: str) -> tuple[str, str] | None:
        existing, vanished = folder, ""
        while not posixpath.isdir(existing):
            if (state := _state(existing)) not in ("gone", "exists"):
                return existing, f"cannot be read: {state}"
            vanished, existing = existing, posixpath.dirname(existing)
        identity = self._identify_folder(existing)
        if identity == "other_disk":
            return existing, "is on another disk than before"
        if identity == "same" or self._has_neighbor(existing, vanished):
            return None
        if vanished:
            return vanished, "does not exist; was its disk removed?"
        try:
            return None if _has_file(folder) else (folder, "is empty; is its disk mounted?")
        except OSError as error:
            return folder, f"cannot be read: {error.strerror}"

    def _has_neighbor(self, folder: str, vanished: str) -> bool:
        """Return whether files of the collection are left in a folder, on its disk."""
        if vanished and folder in _MOUNT_FOLDERS:
            return False
        return folder in self._direct or any(
            _device(child) == _device(folder) for child in self._children.get(folder, ())
        )


def _device(folder: str) -> int | None:
    try:
        return os.stat(folder).st_dev  # noqa: PTH116
    except OSError:
        return None


def _has_file(folder: str) -> bool:
    with os.scandir(folder) as entries:
        return any(entry.is_file(follow_symlinks=False) for entry in entries)
