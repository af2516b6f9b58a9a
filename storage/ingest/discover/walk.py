"""Discover the files of an ingest, in an order that depends on names only."""

from __future__ import annotations

import itertools
import os
import posixpath
import time
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event

from sightline.storage.errors import MediaError
from sightline.storage.files import open_real
from sightline.storage.ingest.decode.worker.open_file import read_file
from sightline.storage.ingest.discover.file_types import file_type_of, is_hidden, printable_path
from sightline.storage.ingest.discover.input_paths import IngestInput, InputPath, RemoteFile, Upload
from sightline.storage.ingest.discover.sidecar_loader import SidecarLoader
from sightline.storage.ingest.discover.sidecars import (
    TreeFile,
    TreeFolder,
    WarningSink,
    clean_json,
    files_of,
    sidecars_of,
)
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import DiscoveredFile, is_utf8

MAX_BATCH_FILES = 64
MAX_BATCH_BYTES = 16 << 20
_MAX_DEPTH = 200


def discover(
    inputs: Sequence[IngestInput], options: IngestOptions, warn: WarningSink, stop: Event
) -> Generator[DiscoveredFile]:
    """Yield everything to ingest, folders in depth-first order of their names.

    Keeps the names of one folder at a time. Hidden files are skipped; links out of the root fail.
    Archives are yielded closed. Ends early when ``stop`` is set.
    """
    for each in inputs:
        if stop.is_set():
            return
        if isinstance(each, Upload):
            name = clean_json(each.name)
            yield DiscoveredFile(name, place=f"upload:{name}", data=each.data, sidecar=each.sidecar)
        elif isinstance(each, RemoteFile):
            yield DiscoveredFile(each.name, place=each.name, load=each.load)
        else:
            tree = DirectoryTree(each)
            if not Path(each.real).is_dir():  # a single file: its folder may have its sidecars
                folder = InputPath(posixpath.dirname(each.given), posixpath.dirname(each.real))
                names = (posixpath.basename(each.real), posixpath.basename(each.given))
                tree = DirectoryTree(folder, only=names)
            yield from _discover_tree(tree, options, warn, stop)


def count(inputs: Sequence[IngestInput], stop: Event) -> int:
    """Return how many files `discover` will find; an archive counts as one.

    Ends early when ``stop`` is set.
    """
    folders = [each for each in inputs if isinstance(each, InputPath) and Path(each.real).is_dir()]
    items = (item for each in folders for item in DirectoryTree(each).walk())
    files = itertools.takewhile(lambda _: not stop.is_set(), items)
    return len(inputs) - len(folders) + sum(isinstance(item, TreeFile) for item in files)


def next_batch(files: Iterator[DiscoveredFile]) -> tuple[list[DiscoveredFile], float]:
    """Return the next files, loaded if they have no path, and the seconds it took.

    An archive is the last file of its batch.
    """
    started = time.perf_counter()
    batch: list[DiscoveredFile] = []
    size = 0
    for file in files:
        loaded = file
        if file.load is not None and file.failure is None:
            try:
                loaded = replace(file, data=file.load())
            except MediaError as error:
                loaded = replace(file, failure=error)
        batch.append(loaded)
        size += len(loaded.data or b"")
        if loaded.is_archive or len(batch) >= MAX_BATCH_FILES or size >= MAX_BATCH_BYTES:
            break
    return batch, time.perf_counter() - started


def _discover_tree(
    tree: DirectoryTree, options: IngestOptions, warn: WarningSink, stop: Event
) -> Iterator[DiscoveredFile]:
    sidecars = SidecarLoader(tree, options, warn)
    for item in tree.walk():
        if stop.is_set():
            return
        if isinstance(item, TreeFolder):
            sidecars.enter(item)
            continue
        file = tree.open(item)
        if file is None:
            continue
        if file.failure is not None:
            yield file
        elif file_type_of(item.path) == "archive":
            yield replace(file, is_archive=True)
        else:
            yield replace(file, sidecar=sidecars.load(item))


@dataclass(frozen=True, slots=True)
class DirectoryTree:
    """A folder; ``only`` (name, name as given) selects one file."""

    root: InputPath
    only: tuple[str, str] | None = None

    def walk(self) -> Iterator[TreeFolder | TreeFile]:
        if self.only is None:
            yield from self._walk_folder("", self.root.real, 0)
            return
        name = self.only[0]
        try:
            names = sorted(_list_folder(self.root.real), key=os.fsencode)
        except OSError:
            names = [name]  # a folder that may be entered but not listed
        yield TreeFolder("", names)
        yield TreeFile(name, tuple(sidecars_of([name, *names]).get(name, ())))

    def open(self, file: TreeFile) -> DiscoveredFile | None:
        """Return the file with its real path, or None for a link to a folder."""
        name = self.display_name(file.path if self.only is None else self.only[1])
        place = posixpath.join(self.root.real, file.path)
        try:
            if file.failure is not None:
                raise file.failure
            if not is_utf8(place):
                raise MediaError("name_not_utf8", "has a name or folder that is not UTF-8")
            real = self._resolve(file.path)
        except MediaError as error:
            return DiscoveredFile(name, place=place, failure=error)
        return None if real is None else DiscoveredFile(name, place=place, path=real)

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return the bytes of a file; None for a link to a folder. Raises MediaError."""
        real = self._resolve(path)
        return read_file(real, max_bytes)[0] if real is not None else None

    def display_name(self, path: str) -> str:
        """Return the path as the user would write it."""
        return printable_path(posixpath.join(self.root.given, path))

    def _walk_folder(self, folder: str, real: str, depth: int) -> Iterator[TreeFolder | TreeFile]:
        if depth > _MAX_DEPTH:
            failure = MediaError("too_deep", f"is more than {_MAX_DEPTH} folders deep")
            yield TreeFile(folder, failure=failure)
            return
        try:
            is_folder = _list_folder(real)
        except OSError as error:
            failure = MediaError("unreadable", f"cannot be listed: {error.strerror}")
            yield TreeFile(folder, failure=failure)
            return
        names = sorted((name for name in is_folder if not is_hidden(name)), key=os.fsencode)
        files = [posixpath.join(folder, name) for name in names if not is_folder[name]]
        yield TreeFolder(folder, files)
        tree_files = {file.path: file for file in files_of(files)}
        for name in names:
            path = posixpath.join(folder, name)
            if path in tree_files:
                yield tree_files[path]
            elif not is_folder[name]:
                continue  # a sidecar
            elif is_utf8(name):
                yield from self._walk_folder(path, posixpath.join(real, name), depth + 1)
            else:
                failure = MediaError("name_not_utf8", "is a folder whose name is not UTF-8")
                yield TreeFile(path, failure=failure)

    def _resolve(self, path: str) -> str | None:
        """Return the real path of a file, or None for a link to a folder.

        Folders are reached by the walk itself, or must not be. Raises MediaError for a link that
        leaves the root or has no target.
        """
        place = posixpath.join(self.root.real, path)
        if not os.path.islink(place):  # noqa: PTH114
            return place
        real = os.path.realpath(place)
        if not is_utf8(real):
            raise MediaError("name_not_utf8", "is a link to a name that is not UTF-8")
        if not Path(real).is_relative_to(self.root.real):
            raise MediaError("link_outside", "is a link that leads out of the given folder")
        if not os.path.lexists(real):
            raise MediaError("unreadable", "is a link without a target")
        return None if os.path.isdir(real) else real  # noqa: PTH112


def _list_folder(real: str) -> dict[str, bool]:
    """Return whether each entry of a folder is a folder. Raises OSError."""
    descriptor = open_real(real)
    try:
        with os.scandir(descriptor) as entries:
            return {entry.name: _is_folder(entry) for entry in entries}
    finally:
        os.close(descriptor)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
