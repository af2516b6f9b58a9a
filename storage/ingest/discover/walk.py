"""Walk the folders of an ingest, in an order that depends on names only."""

from __future__ import annotations

import itertools
import os
import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from sightline.storage.errors import MediaError
from sightline.storage.files import open_real
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.open_file import read_file
from sightline.storage.ingest.discover.file_names import is_hidden, is_utf8, printable_path
from sightline.storage.ingest.discover.input_paths import IngestInput, InputPath, RemoteFile, Upload
from sightline.storage.ingest.discover.sidecar_loader import SidecarLoader
from sightline.storage.ingest.discover.sidecar_names import files_of, sidecars_of
from sightline.storage.ingest.discover.sidecars import (
    TreeFile,
    TreeFolder,
)
from sightline.storage.ingest.formats import file_type_of
from sightline.storage.ingest.ingest_options import IngestOptions

_MAX_DEPTH = 200


def read_tree(
    request: messages.TreeRequest, options: IngestOptions, report_alive: Callable[[], None]
) -> Iterator[messages.FoundFile | messages.PartWarning]:
    """Yield the files of a folder with their sidecars, and warnings about sidecars.

    Keeps the names of one folder at a time. Hidden files are skipped; links out of the root fail.
    Archives are yielded closed. Runs in a worker: tables and sidecars are of strangers.
    """
    tree = DirectoryTree(InputPath(request.given, request.real), dict(request.only or ()))
    sidecars = SidecarLoader(tree, options, report_alive)
    for item in tree.walk():
        report_alive()
        if isinstance(item, TreeFolder):
            sidecars.enter(item)
        elif sidecars.is_table(item.path) and not request.only:
            continue
        elif (file := tree.open(item)) is not None:
            if file.code is None and file_type_of(item.path) != "archive":
                file = file._replace(sidecar=sidecars.load(item))
            yield file
        yield from sidecars.take_warnings()


def trees_of(inputs: Sequence[IngestInput]) -> list[messages.TreeRequest | Upload | RemoteFile]:
    """Return what to read for the inputs, in order; files of one folder together."""
    trees: list[messages.TreeRequest | Upload | RemoteFile] = []
    for each in inputs:
        if not isinstance(each, InputPath):
            trees.append(each)
        elif Path(each.real).is_dir():
            trees.append(messages.TreeRequest(each.given, each.real))
        else:  # a single file: its folder may have its sidecars
            given, real = posixpath.dirname(each.given), posixpath.dirname(each.real)
            only = (posixpath.basename(each.real), posixpath.basename(each.given))
            last = trees[-1] if trees else None
            if isinstance(last, messages.TreeRequest) and last.only and last[:2] == (given, real):
                last.only.append(only)
            else:
                trees.append(messages.TreeRequest(given, real, [only]))
    return trees


def count(inputs: Sequence[IngestInput], stop: Event) -> int:
    """Return how many files there are to ingest; an archive counts as one.

    Ends early when ``stop`` is set.
    """
    folders = [each for each in inputs if isinstance(each, InputPath) and Path(each.real).is_dir()]
    items = (item for each in folders for item in DirectoryTree(each).walk())
    files = itertools.takewhile(lambda _: not stop.is_set(), items)
    return len(inputs) - len(folders) + sum(isinstance(item, TreeFile) for item in files)


@dataclass(frozen=True, slots=True)
class DirectoryTree:
    """A folder; ``only`` selects files: their names, and these as given."""

    root: InputPath
    only: Mapping[str, str] = field(default_factory=dict)

    def walk(self) -> Iterator[TreeFolder | TreeFile]:
        if not self.only:
            yield from self._walk_folder("", self.root.real, 0)
            return
        chosen = list(self.only)
        try:
            names = sorted(_list_folder(self.root.real), key=os.fsencode)
        except OSError:
            names = []  # a folder that may be entered but not listed
        yield TreeFolder("", names or chosen)
        sidecars = sidecars_of([*chosen, *names])
        for name in chosen:
            yield TreeFile(name, tuple(sidecars.get(name, ())))

    def open(self, file: TreeFile) -> messages.FoundFile | None:
        """Return the file with its real path, or None for a link to a folder."""
        name = self.display_name(self.only.get(file.path, file.path))
        place = posixpath.join(self.root.real, file.path)
        try:
            if file.failure is not None:
                raise file.failure
            if not is_utf8(place):
                raise MediaError("name_not_utf8", "has a name or folder that is not UTF-8")
            real = self._resolve(file.path)
        except MediaError as error:
            # The place is only an identifier then.
            return messages.FoundFile(
                name, printable_path(place), code=error.code, reason=str(error)
            )
        return None if real is None else messages.FoundFile(name, place, real)

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
