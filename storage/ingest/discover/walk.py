"""Walk what was given, in an order that depends on names alone."""

from __future__ import annotations

import os
import posixpath
import time
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.open_file import read_file
from sightline.storage.ingest.discover.archives import archive_members
from sightline.storage.ingest.discover.caption_tables import Table, Tables, read_table
from sightline.storage.ingest.discover.discovered_file import (
    Found,
    Remote,
    Upload,
    is_utf8,
    printable,
)
from sightline.storage.ingest.discover.file_types import claim, hidden
from sightline.storage.ingest.discover.input_paths import Given, Root
from sightline.storage.ingest.discover.sidecars import (
    TABLE_NAMES,
    Report,
    Sidecar,
    clean,
    merged,
    read_sidecar,
    sidecars_of,
)
from sightline.storage.ingest.ingest_options import IngestOptions

_AT_ONCE = 64
_BYTES_AT_ONCE = 16 << 20


def discover(roots: Sequence[Given], options: IngestOptions, report: Report) -> Generator[Found]:
    """Everything to ingest, folders in depth-first order of their names.

    Reads folders, sidecars and archives' directories as it goes; keeps one folder's names at a
    time. Hidden files are skipped, links out of the root are failures.
    """
    for root in roots:
        if isinstance(root, Upload):
            name = str(clean(root.name))
            yield Found(name, data=root.data, sidecar=root.sidecar, place=f"upload:{name}")
        elif isinstance(root, Remote):
            yield Found(root.name, load=root.load, place=root.name)
        elif Path(root.real).is_dir():
            yield from _Walk(root, options, report).folder("", root.real)
        else:
            # Its siblings matter, for they may be its sidecars.
            folder = Root(posixpath.dirname(root.given), posixpath.dirname(root.real))
            names = [posixpath.basename(root.real)]
            yield from _Walk(folder, options, report).only(names, posixpath.basename(root.given))


def count(roots: Sequence[Given], options: IngestOptions) -> int:
    """How many things `discover` will find, archives taken as one each: quick, for a start."""
    total = 0
    for root in roots:
        if isinstance(root, Root) and Path(root.real).is_dir():
            walk = _Walk(root, options, lambda *_: None)
            total += sum(1 for _ in walk.folder("", root.real, counting=True))
        else:
            total += 1
    return total


def take_some(found: Iterator[Found]) -> tuple[list[Found], float]:
    """The next few, with the bytes of those that have no path; and the time that took."""
    started = time.perf_counter()
    batch: list[Found] = []
    size = 0
    for each in found:
        if each.load is not None and each.failure is None:
            try:
                each.data = each.load()
            except MediaError as error:
                each.failure = error
        batch.append(each)
        size += len(each.data or b"")
        if len(batch) >= _AT_ONCE or size >= _BYTES_AT_ONCE:
            break
    return batch, time.perf_counter() - started


class _Walk:
    """One root, and the tables that hold where the walk is."""

    def __init__(self, root: Root, options: IngestOptions, report: Report) -> None:
        self._root = root
        self._options = options
        self._report = report
        self._tables = Tables()

    def only(self, names: list[str], given: str) -> Iterator[Found]:
        """Single files of the root folder, with the sidecars that stand beside them."""
        try:
            beside = sorted(os.listdir(self._root.real), key=os.fsencode)  # noqa: PTH208
        except OSError:
            beside = names  # a folder that may be entered but not listed
        self._enter("", beside)
        own = sidecars_of([*names, *(name for name in beside if name not in names)])
        for name in names:
            yield from self._file("", name, own.get(name, []), given)
        self._tables.leave()

    def folder(self, relative: str, real: str, *, counting: bool = False) -> Iterator[Found]:
        """A folder and those in it."""
        try:
            with os.scandir(real) as entries:
                kinds = {e.name: _kind(e) for e in entries if not hidden(e.name)}
        except OSError as error:
            yield self._failed(relative, "unreadable", f"cannot be listed: {error.strerror}")
            return
        names = sorted(kinds, key=os.fsencode)
        files = [name for name in names if kinds[name] != "folder"]
        own = sidecars_of(files)
        aside = {sidecar for sidecars in own.values() for sidecar in sidecars}
        if not counting:
            self._enter(relative, files)
        for name in names:
            below = f"{relative}/{name}" if relative else name
            if kinds[name] == "folder":
                if is_utf8(name):
                    yield from self.folder(below, posixpath.join(real, name), counting=counting)
                else:
                    yield self._failed(
                        below, "name_not_utf8", "is a folder whose name is not UTF-8"
                    )
            elif name in aside or name in TABLE_NAMES:
                continue
            elif counting:
                yield Found(below)
            else:
                yield from self._file(relative, name, own.get(name, []), name)
        if not counting:
            self._tables.leave()

    def _file(self, folder: str, name: str, own: list[str], given: str) -> Iterator[Found]:
        below = f"{folder}/{name}" if folder else name
        shown = self._name(f"{folder}/{given}" if folder else given)
        place = posixpath.join(self._root.real, below)
        if not is_utf8(place):
            yield self._failed(below, "name_not_utf8", "has a name or folder that is not UTF-8")
            return
        try:
            real = self._resolve(below)
        except MediaError as error:
            yield Found(shown, failure=error, place=place)
            return
        if real is None:
            return
        if claim(name) == "archive":
            yield from archive_members(real, shown, self._options, self._report)
            return
        yield Found(shown, path=real, sidecar=self._sidecar(folder, name, own), place=place)

    def _resolve(self, below: str) -> str | None:
        """Where a file really is. None for a link to a folder: the walk comes there, or it should
        not. Raises MediaError for a link that leaves the root or leads nowhere.
        """
        path = posixpath.join(self._root.real, below)
        if not os.path.islink(path):  # noqa: PTH114
            return path
        real = os.path.realpath(path)
        if not is_utf8(real):
            raise MediaError("name_not_utf8", "is a link to a name that is not UTF-8")
        if not Path(real).is_relative_to(self._root.real):
            raise MediaError("link_outside", "is a link that leads out of the folder given")
        if not os.path.lexists(real):
            raise MediaError("unreadable", "is a link that leads nowhere")
        return None if os.path.isdir(real) else real  # noqa: PTH112

    def _sidecar(self, folder: str, name: str, own: list[str]) -> Sidecar | None:
        parts: list[Sidecar] = []
        for sidecar in own:
            below = f"{folder}/{sidecar}" if folder else sidecar
            try:
                if (data := self._read(below, self._options.max_sidecar_bytes)) is not None:
                    parts.append(read_sidecar(sidecar, data))
            except ValueError as error:
                self._report("sidecar_broken", self._name(below), str(error))
        below = f"{folder}/{name}" if folder else name
        return merged(parts + self._tables.lookup(below, self._report))

    def _enter(self, folder: str, names: list[str]) -> None:
        tables: list[Table] = []
        for name in TABLE_NAMES:
            if name in names:
                below = f"{folder}/{name}" if folder else name
                if (data := self._read(below, self._options.max_table_bytes)) is not None:
                    limit = self._options.max_sidecar_bytes
                    tables.append(read_table(self._name(below), data, limit, self._report))
        self._tables.enter(folder, tables)

    def _read(self, below: str, max_bytes: int) -> bytes | None:
        """A sidecar's bytes; None, and a report, where it cannot be read."""
        try:
            real = self._resolve(below)
            return read_file(real, max_bytes)[0] if real is not None else None
        except MediaError as error:
            if error.code != "empty":
                self._report("sidecar_unreadable", self._name(below), str(error))
            return None

    def _name(self, below: str) -> str:
        return printable(posixpath.join(self._root.given, below))

    def _failed(self, below: str, code: str, message: str) -> Found:
        place = posixpath.join(self._root.real, below)
        return Found(self._name(below), failure=MediaError(code, message), place=place)


def _kind(entry: os.DirEntry[str]) -> str:
    """``folder`` for a real one; all else is treated as a file, and looked at when opened."""
    try:
        return "folder" if entry.is_dir(follow_symlinks=False) else "file"
    except OSError:
        return "file"
