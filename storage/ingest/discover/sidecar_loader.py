"""Load the sidecars and caption tables of a folder or an archive."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Protocol

from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.worker.worker_protocol import PartWarning
from sightline.storage.ingest.discover.caption_tables import (
    CaptionTableStack,
    SidecarTable,
    parse_caption_table,
)
from sightline.storage.ingest.discover.json_tables import (
    MAX_JSON_BYTES,
    is_question_list,
    parse_json_table,
)
from sightline.storage.ingest.discover.sidecar_names import sidecars_of
from sightline.storage.ingest.discover.sidecars import (
    TABLE_NAMES,
    Sidecar,
    TreeFile,
    TreeFolder,
    merge_sidecars,
    parse_sidecar,
)
from sightline.storage.ingest.formats import suffix_of
from sightline.storage.ingest.ingest_options import IngestOptions

_MAX_SIDECARS = 20
_MAX_JSON_TABLES = 50  # JSON files of one folder that are looked at
_MAX_JSON_BYTES = 256 << 20  # of all of them: one of 64 MB takes seconds
_MAX_WARNINGS = 1_000  # of one file or folder; the summary shows a few


class SidecarTree(Protocol):
    """A folder or an archive, as far as sidecars are read from it."""

    def read(self, path: str, max_bytes: int) -> bytes | None:
        """Return the bytes of a file. Raises MediaError."""
        ...

    def display_name(self, path: str) -> str:
        """Return the path as the user would write it."""
        ...


@dataclass(slots=True)
class SidecarLoader:
    """Loads the sidecars and caption tables of a tree during its walk."""

    tree: SidecarTree
    options: IngestOptions
    report_alive: Callable[[], None]
    _tables: CaptionTableStack = field(default_factory=CaptionTableStack)
    _warnings: list[PartWarning] = field(default_factory=list)
    _json_tables: set[str] = field(default_factory=set)

    def enter(self, folder: TreeFolder) -> None:
        """Load the tables of a folder: of captions, metadata or annotations."""
        tables: list[SidecarTable] = []
        max_row_bytes = self.options.max_sidecar_bytes
        for path in (posixpath.join(folder.path, name) for name in TABLE_NAMES):
            if path not in folder.files:
                continue
            name = self.tree.display_name(path)
            try:
                if data := self._read(path, self.options.max_table_bytes):
                    arguments = (name, data, max_row_bytes, self._warn, self.report_alive)
                    tables.append(parse_caption_table(*arguments))
            except MemoryError:  # it must not end the ingest of the folder
                self._warn("sidecar_broken", name, "needs too much memory; split it")
        tables += self._load_json_tables(folder)
        self._tables.enter(folder.path, tables)

    def is_table(self, path: str) -> bool:
        """Return whether a JSON file of the current folder is about other files."""
        return path in self._json_tables

    def _load_json_tables(self, folder: TreeFolder) -> Iterator[SidecarTable]:
        """Yield the tables among the JSON files that are no sidecars."""
        self._json_tables = set()
        paths = [path for path in folder.files if suffix_of(path) in (".json", ".jsonl")]
        if not paths:
            return
        sidecars = {each for own in sidecars_of(folder.files).values() for each in own}
        left_bytes = _MAX_JSON_BYTES
        for path in [path for path in paths if path not in sidecars][:_MAX_JSON_TABLES]:
            self.report_alive()
            try:
                data = self.tree.read(path, min(MAX_JSON_BYTES, left_bytes)) or b""
                left_bytes = max(1, left_bytes - len(data))
                if suffix_of(path) == ".jsonl":
                    if is_question_list(data):
                        self._json_tables.add(path)
                    continue
                name = self.tree.display_name(path)
                table = parse_json_table(name, data, self._warn, self.report_alive)
            except (MediaError, ValueError, MemoryError):
                continue  # no table: it fails or is read as a file of its own
            if table is not None:
                self._json_tables.add(path)
                yield table

    def load(self, file: TreeFile) -> Sidecar | None:
        """Return the merged sidecars of a file; broken ones are warnings.

        All of them together have the limits of one: a video can have any number of subtitles. If
        they have too much metadata, only those of the closest sidecar with metadata are used.
        """
        sidecars: list[Sidecar] = []
        left_bytes = self.options.max_sidecar_bytes
        if len(file.sidecars) > _MAX_SIDECARS:
            reason = f"has {len(file.sidecars):,} sidecars; only {_MAX_SIDECARS} are read"
            self._warn("sidecar_unreadable", self.tree.display_name(file.path), reason)
        for path in file.sidecars[:_MAX_SIDECARS]:
            try:
                if (data := self._read(path, left_bytes)) is not None:
                    left_bytes = max(1, left_bytes - len(data))
                    sidecars.append(parse_sidecar(path, data))
            except Exception as error:  # noqa: BLE001 - one sidecar must not end the ingest
                self._warn("sidecar_broken", self.tree.display_name(path), str(error))
        sidecars += self._tables.lookup(file.path, self._warn)
        try:
            return merge_sidecars(sidecars)
        except ValueError as error:
            reason = f"with all sidecars it {error}; only the closest metadata are used"
            self._warn("sidecar_broken", self.tree.display_name(file.path), reason)
        closest = next(each for each in sidecars if each.metadata)
        return merge_sidecars(
            [each if each is closest else replace(each, metadata={}) for each in sidecars]
        )

    def take_warnings(self) -> list[PartWarning]:
        """Return the warnings since the last call, as many as are kept."""
        taken, self._warnings = self._warnings, []
        return taken

    def _warn(self, code: str, name: str, reason: str) -> None:
        if len(self._warnings) < _MAX_WARNINGS:
            self._warnings.append(PartWarning(code, reason, name))

    def _read(self, path: str, max_bytes: int) -> bytes | None:
        try:
            return self.tree.read(path, max_bytes)
        except MediaError as error:
            if error.code != "empty":
                self._warn("sidecar_unreadable", self.tree.display_name(path), str(error))
            return None
