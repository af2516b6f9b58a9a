"""Discover the files of an ingest, in an order that depends on names only."""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.open_file import read_file
from sightline.storage.ingest.discover.archives import open_archive
from sightline.storage.ingest.discover.file_tree import (
    FileTree,
    SidecarLoader,
    TreeFile,
    TreeFolder,
    files_of,
    join_path,
)
from sightline.storage.ingest.discover.file_types import file_type_of, is_hidden
from sightline.storage.ingest.discover.input_paths import IngestInput, InputPath, RemoteFile, Upload
from sightline.storage.ingest.discover.sidecars import WarningSink, clean_json, sidecars_of
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import DiscoveredFile, is_utf8, printable_path

_MAX_BATCH_FILES = 64
_MAX_BATCH_BYTES = 16 << 20


def discover(
    inputs: Sequence[IngestInput], options: IngestOptions, warn: WarningSink
) -> Generator[DiscoveredFile]:
    """Yield everything to ingest, folders in depth-first order of their names.

    Keeps the names of one folder at a time. Hidden files are skipped; links out of the root fail.
    """
    for each in inputs:
        if isinstance(each, Upload):
            name = clean_json(each.name)
            yield DiscoveredFile(name, place=f"upload:{name}", data=each.data, sidecar=each.sidecar)
        elif isinstance(each, RemoteFile):
            yield DiscoveredFile(each.name, place=each.name, load=each.load)
        else:
            yield from _discover_tree(_tree_of(each), options, warn)


def count(inputs: Sequence[IngestInput]) -> int:
    """Return how many files `discover` will find; an archive counts as one."""
    total = 0
    for each in inputs:
        if isinstance(each, InputPath) and Path(each.real).is_dir():
            total += sum(isinstance(item, TreeFile) for item in DirectoryTree(each).walk())
        else:
            total += 1
    return total


def next_batch(files: Iterator[DiscoveredFile]) -> tuple[list[DiscoveredFile], float]:
    """Return the next files, loaded if they have no path, and the seconds it took."""
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
        if len(batch) >= _MAX_BATCH_FILES or size >= _MAX_BATCH_BYTES:
            break
    return batch, time.perf_counter() - started


def _tree_of(path: InputPath) -> DirectoryTree:
    if Path(path.real).is_dir():
        return DirectoryTree(path)
    # A single file: its folder may have its sidecars.
    folder = InputPath(posixpath.dirname(path.given), posixpath.dirname(path.real))
    names = (posixpath.basename(path.real), posixpath.basename(path.given))
    return DirectoryTree(folder, only=names)


def _discover_tree(
    tree: FileTree, options: IngestOptions, warn: WarningSink
) -> Iterator[DiscoveredFile]:
    sidecars = SidecarLoader(tree, options, warn)
    for item in tree.walk():
        if isinstance(item, TreeFolder):
            sidecars.enter(item)
            continue
        file = tree.open(item)
        if file is None:
            continue
        if file.failure is not None:
            yield file
        elif file.path is not None and file_type_of(item.path) == "archive":
            yield from _discover_archive(file, file.path, options, warn)
        else:
            yield replace(file, sidecar=sidecars.load(item))


def _discover_archive(
    file: DiscoveredFile, path: str, options: IngestOptions, warn: WarningSink
) -> Iterator[DiscoveredFile]:
    with ExitStack() as stack:
        try:
            tree = stack.enter_context(open_archive(path, file.name, options))
        except MediaError as error:
            yield DiscoveredFile(file.name, place=path, failure=error)
            return
        yield from _discover_tree(tree, options, warn)


class DirectoryTree:
    """A folder as a `FileTree`; ``only`` (name, name as given) selects one file."""

    def __init__(self, root: InputPath, *, only: tuple[str, str] | None = None) -> None:
        self._root = root
        self._only = only

    def walk(self) -> Iterator[TreeFolder | TreeFile]:
        """Yield folders and files in depth-first order of their names."""
        if self._only is None:
            yield from self._walk_folder("", self._root.real)
            return
        name = self._only[0]
        try:
            names = sorted(os.listdir(self._root.real), key=os.fsencode)  # noqa: PTH208
        except OSError:
            names = [name]  # a folder that may be entered but not listed
        yield TreeFolder("", names)
        yield TreeFile(name, tuple(sidecars_of([name, *names]).get(name, ())))

    def open(self, file: TreeFile) -> DiscoveredFile | None:
        """Return the file with its real path, or None for a link to a folder."""
        name = self.display_name(file.path if self._only is None else self._only[1])
        place = posixpath.join(self._root.real, file.path)
        failure = file.failure
        if failure is None and not is_utf8(place):
            failure = MediaError("name_not_utf8", "has a name or folder that is not UTF-8")
        try:
            real = None if failure is not None else self._resolve(file.path)
        except MediaError as error:
            failure = error
        if failure is not None:
            return DiscoveredFile(name, place=place, failure=failure)
        return None if real is None else DiscoveredFile(name, place=place, path=real)

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return the bytes of a file; None for a link to a folder. Raises MediaError."""
        real = self._resolve(path)
        return read_file(real, max_bytes)[0] if real is not None else None

    def display_name(self, path: str) -> str:
        """Return the path as the user would write it."""
        return printable_path(posixpath.join(self._root.given, path))

    def _walk_folder(self, folder: str, real: str) -> Iterator[TreeFolder | TreeFile]:
        try:
            with os.scandir(real) as entries:
                visible = (entry for entry in entries if not is_hidden(entry.name))
                is_folder = {entry.name: _is_folder(entry) for entry in visible}
        except OSError as error:
            failure = MediaError("unreadable", f"cannot be listed: {error.strerror}")
            yield TreeFile(folder, failure=failure)
            return
        names = sorted(is_folder, key=os.fsencode)
        files = [join_path(folder, name) for name in names if not is_folder[name]]
        yield TreeFolder(folder, files)
        tree_files = {file.path: file for file in files_of(files)}
        for name in names:
            path = join_path(folder, name)
            if not is_folder[name]:
                if path in tree_files:
                    yield tree_files[path]
            elif is_utf8(name):
                yield from self._walk_folder(path, posixpath.join(real, name))
            else:
                failure = MediaError("name_not_utf8", "is a folder whose name is not UTF-8")
                yield TreeFile(path, failure=failure)

    def _resolve(self, path: str) -> str | None:
        """Return the real path of a file, or None for a link to a folder.

        Folders are reached by the walk itself, or must not be. Raises MediaError for a link that
        leaves the root or has no target.
        """
        place = posixpath.join(self._root.real, path)
        if not os.path.islink(place):  # noqa: PTH114
            return place
        real = os.path.realpath(place)
        if not is_utf8(real):
            raise MediaError("name_not_utf8", "is a link to a name that is not UTF-8")
        if not Path(real).is_relative_to(self._root.real):
            raise MediaError("link_outside", "is a link that leads out of the given folder")
        if not os.path.lexists(real):
            raise MediaError("unreadable", "is a link without a target")
        return None if os.path.isdir(real) else real  # noqa: PTH112


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether the entry is a folder itself; a link to one is not."""
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False
