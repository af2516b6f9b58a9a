"""One interface for folders and archives, and the sidecars of the files in them."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol

from sightline.storage.errors import MediaError
from sightline.storage.ingest.discover.caption_tables import (
    CaptionTable,
    CaptionTableStack,
    parse_caption_table,
)
from sightline.storage.ingest.discover.sidecars import (
    TABLE_NAMES,
    Sidecar,
    WarningSink,
    merge_sidecars,
    parse_sidecar,
    sidecars_of,
)
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.stage_types import DiscoveredFile


@dataclass(frozen=True, slots=True)
class TreeFolder:
    """The walk enters a folder. ``path`` and ``files`` are relative to the root."""

    path: str
    files: list[str]


@dataclass(frozen=True, slots=True)
class TreeFile:
    """A file to ingest, or the reason why it or its folder cannot be read.

    ``path`` and the paths of ``sidecars`` are relative to the root.
    """

    path: str
    sidecars: tuple[str, ...] = ()
    failure: MediaError | None = None


class FileTree(Protocol):
    """A folder or an archive."""

    def walk(self) -> Iterator[TreeFolder | TreeFile]:
        """Yield folders before their files, without hidden files and sidecars."""
        ...

    def open(self, file: TreeFile) -> DiscoveredFile | None:
        """Return the file without its sidecar, or None if it is to be skipped."""
        ...

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return the bytes of a sidecar, or None to skip it. Raises MediaError."""
        ...

    def display_name(self, path: str) -> str:
        """Return the name that results and warnings show."""
        ...


def join_path(folder: str, name: str) -> str:
    """Join two paths relative to the root of a tree."""
    return f"{folder}/{name}" if folder else name


def files_of(paths: list[str]) -> Iterator[TreeFile]:
    """Yield the files of one folder in the given order, each with its sidecars."""
    own = sidecars_of(paths)
    sidecars = {sidecar for each in own.values() for sidecar in each}
    for path in paths:
        if path not in sidecars and posixpath.basename(path) not in TABLE_NAMES:
            yield TreeFile(path, tuple(own.get(path, ())))


@dataclass(slots=True)
class SidecarLoader:
    """Loads the sidecars and caption tables of a tree during its walk."""

    tree: FileTree
    options: IngestOptions
    warn: WarningSink
    _tables: CaptionTableStack = field(default_factory=CaptionTableStack)

    def enter(self, folder: TreeFolder) -> None:
        """Load the caption tables of a folder."""
        tables: list[CaptionTable] = []
        for name in TABLE_NAMES:
            path = join_path(folder.path, name)
            if path not in folder.files:
                continue
            if (data := self._read(path, self.options.max_table_bytes)) is not None:
                max_row_bytes = self.options.max_sidecar_bytes
                display_name = self.tree.display_name(path)
                tables.append(parse_caption_table(display_name, data, max_row_bytes, self.warn))
        self._tables.enter(folder.path, tables)

    def load(self, file: TreeFile) -> Sidecar | None:
        """Return the merged sidecars of a file; broken ones are warnings."""
        sidecars: list[Sidecar] = []
        for path in file.sidecars:
            try:
                if (data := self._read(path, self.options.max_sidecar_bytes)) is not None:
                    sidecars.append(parse_sidecar(path, data))
            except ValueError as error:
                self.warn("sidecar_broken", self.tree.display_name(path), str(error))
        return merge_sidecars(sidecars + self._tables.lookup(file.path, self.warn))

    def _read(self, path: str, max_bytes: int) -> bytes | None:
        try:
            return self.tree.read(path, max_bytes)
        except MediaError as error:
            if error.code != "empty":
                self.warn("sidecar_unreadable", self.tree.display_name(path), str(error))
            return None
