"""Find out which files of a folder changed, by comparing scans of it.

A scan reads names and properties of files, not their content. It works on every file system, also
of other machines. A file counts as changed only when two scans in a row find it alike: until then
somebody may be writing it, or an editor may be replacing it.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from sightline.storage.errors import StorageError, shown
from sightline.storage.ingest.discover.input_paths import InputPath
from sightline.storage.ingest.discover.sidecars import TABLE_NAMES, TreeFolder
from sightline.storage.ingest.discover.walk import DirectoryTree
from sightline.storage.ingest.formats import suffix_of

#: Of editors, browsers and synchronization: renamed when they are complete.
_TEMPORARY_SUFFIXES: Final = frozenset(
    {".tmp", ".temp", ".part", ".partial", ".crdownload", ".download", ".swp", ".swx", ".bak~"}
)
#: Scans after which files are forgotten although others still change.
_MAX_WAITING_SCANS: Final = 10


class ScanStamp(NamedTuple):
    """What changes with the content of a file."""

    size: int
    modified_ns: int
    changed_ns: int
    inode: int


#: The stamps of a file and of its sidecars.
Stamps = tuple[ScanStamp, ...]


class FolderGoneError(StorageError):
    """The folder does not exist or cannot be read; it may come back."""


@dataclass(frozen=True, slots=True)
class FolderScan:
    """The files of a folder by their paths in it.

    ``tables`` describe all files in and below their folder. ``folders`` are all folders by their
    real paths with device and inode.
    """

    files: Mapping[str, Stamps]
    tables: Mapping[str, ScanStamp]
    folders: Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True)
class FolderChanges:
    """Files that are to be read again, and those that are gone; paths in the folder."""

    changed: Mapping[str, Stamps]
    gone: frozenset[str]
    tables: Mapping[str, ScanStamp]


def is_temporary(name: str) -> bool:
    """Return whether a name is one that programs give to incomplete files."""
    return name.endswith("~") or suffix_of(name) in _TEMPORARY_SUFFIXES


def scan_folder(root: InputPath) -> FolderScan:
    """Return the files that an ingest of the folder would read.

    Raises FolderGoneError.
    """
    try:
        os.listdir(root.real)  # noqa: PTH208 - of which the walk would make a failed file
    except OSError as error:
        raise FolderGoneError(
            f"The folder {shown(root.given or root.real)} cannot be read: {error.strerror}."
        ) from error
    files: dict[str, Stamps] = {}
    tables: dict[str, ScanStamp] = {}
    folders: dict[str, tuple[int, int]] = {}
    for item in DirectoryTree(root).walk():
        if isinstance(item, TreeFolder):
            real = posixpath.join(root.real, item.path) if item.path else root.real
            if (place := _stat(real)) is not None:
                folders[real] = (place.st_dev, place.st_ino)
            paths = [path for path in item.files if posixpath.basename(path) in TABLE_NAMES]
            tables |= _stamps_of(root.real, paths)
            continue
        if item.failure is not None or is_temporary(item.path):
            continue
        own = _stamps_of(root.real, (item.path, *item.sidecars))
        if item.path not in own:
            continue  # gone, a link to a folder, or not a file
        files[item.path] = tuple(own.values())
        if suffix_of(item.path) == ".json":  # perhaps a table, such as annotations of COCO
            tables[item.path] = own[item.path]
    return FolderScan(files, tables, folders)


def _stamps_of(root: str, paths: tuple[str, ...] | list[str]) -> dict[str, ScanStamp]:
    """Return the stamps of those paths that are regular files."""
    found = {path: _stat(posixpath.join(root, path)) for path in paths}
    return {
        path: ScanStamp(each.st_size, each.st_mtime_ns, each.st_ctime_ns, each.st_ino)
        for path, each in found.items()
        if each is not None and stat.S_ISREG(each.st_mode)
    }


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)  # noqa: PTH116 - of many files
    except (OSError, ValueError):
        return None


@dataclass
class ChangeTracker:
    """Compares scans of one folder with what was ingested.

    Call ``update`` with each scan, and ``confirm`` when the changes are ingested; otherwise the
    next scan finds them again.
    """

    _ingested: dict[str, Stamps] = field(default_factory=dict)
    _tables: dict[str, ScanStamp] = field(default_factory=dict)
    _previous: FolderScan | None = None
    #: Number of scans without an ingested file.
    _missing: dict[str, int] = field(default_factory=dict)
    _folders: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Missing files that may come back.
    _kept: set[str] = field(default_factory=set)

    def update(self, scan: FolderScan) -> FolderChanges:
        """Return what changed and is stable since the last scan."""
        previous, self._previous = self._previous, scan
        for path in self._kept & scan.files.keys():  # read it again: somebody may have forgotten it
            self._kept.discard(path)
            self._ingested.pop(path, None)
        self._missing = {
            path: self._missing.get(path, 0) + 1 for path in self._ingested.keys() - scan.files
        }
        self._remember_folders(scan)
        if previous is None:
            return FolderChanges({}, frozenset(), {})
        fresh = {
            path: stamps
            for path, stamps in scan.files.items()
            if self._ingested.get(path) != stamps
        }
        changed = {
            path: stamps for path, stamps in fresh.items() if previous.files.get(path) == stamps
        }
        tables = self._tables if scan.tables != previous.tables else scan.tables
        described = _described(scan, self._changed_tables(tables))
        changed |= {path: scan.files[path] for path in described if path not in fresh}
        # A file that was moved is a new one and a missing one: first the new one is ingested.
        is_settled = len(changed) >= len(fresh)
        gone = frozenset(
            path
            for path, scans in self._missing.items()
            if path not in self._kept and scans >= 2 and (is_settled or scans >= _MAX_WAITING_SCANS)
        )
        return FolderChanges(changed, gone, tables)

    def confirm(self, changes: FolderChanges, kept: Collection[str] = ()) -> None:
        """Take note that the changes were ingested.

        Files in ``kept`` are gone but not forgotten. Their folders stay known as they were.
        """
        self._ingested |= changes.changed
        self._tables = dict(changes.tables)
        self._kept.update(kept)
        for path in changes.gone.difference(kept):
            self._ingested.pop(path, None)
            self._missing.pop(path, None)

    def identify_folder(self, folder: str) -> Literal["same", "other_disk", "unknown"]:
        """Return whether a folder is the one that had the files, or is on another disk."""
        place, known = _stat(folder), self._folders.get(folder)
        if place is None or known is None:
            return "unknown"
        if place.st_dev != known[0]:
            return "other_disk"
        return "same" if place.st_ino == known[1] else "unknown"

    def _changed_tables(self, tables: Mapping[str, ScanStamp]) -> set[str]:
        paths = tables.keys() | self._tables.keys()
        return {path for path in paths if tables.get(path) != self._tables.get(path)}

    def _remember_folders(self, scan: FolderScan) -> None:
        """Remember folders, but no other identity while files of theirs are missing."""
        if not self._missing:
            self._folders = dict(scan.folders)
        else:
            self._folders = {**scan.folders, **self._folders}


def _described(scan: FolderScan, tables: set[str]) -> set[str]:
    """Return the files in and below the folders of tables."""
    folders = {posixpath.dirname(path) for path in tables}
    if not folders:
        return set()
    if "" in folders:
        return set(scan.files)
    prefixes = tuple(f"{folder}/" for folder in folders)
    return {path for path in scan.files if path.startswith(prefixes)}
