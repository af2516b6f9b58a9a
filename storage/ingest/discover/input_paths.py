"""Resolve the inputs of an ingest: files, folders, patterns, uploads and URLs."""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.ingest.discover.file_names import is_hidden
from sightline.storage.ingest.discover.sidecars import Sidecar


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes to ingest under a name, with an optional sidecar."""

    name: str
    data: bytes
    sidecar: Sidecar | None = None


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file that ``load`` fetches in the calling thread. ``load`` raises MediaError."""

    name: str
    load: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class InputPath:
    """A file or folder: its path as given, used in names, and its real path."""

    given: str
    real: str


IngestInput = InputPath | Upload | RemoteFile


def resolve_inputs(paths: Sequence[str | Path | IngestInput]) -> list[IngestInput]:
    """Expand patterns and drop paths inside folders that are ingested anyway.

    An `InputPath` is not resolved again: the caller may have checked where it leads. Raises
    InvalidArgumentError that names every path without a match.
    """
    inputs: list[IngestInput] = []
    missing: list[str] = []
    for path in paths:
        if isinstance(path, InputPath | Upload | RemoteFile):
            inputs.append(path)
            continue
        given = os.path.expanduser(os.fspath(path))  # noqa: PTH111 - keeps names as they are given
        if os.path.lexists(given):
            matches = [given]
        else:
            matches = sorted(glob.glob(given, recursive=True), key=os.fsencode)  # noqa: PTH207
        if not matches:
            missing.append(given)
        inputs += [InputPath(_normalized(match), os.path.realpath(match)) for match in matches]
    if missing:
        listed = ", ".join(map(shown, missing))
        raise InvalidArgumentError(
            f"no file, folder or match for {listed}; give a folder, a file, a pattern such as "
            "'photos/**/*.jpg', a .zip or a .tar"
        )
    return _without_nested(inputs)


def _normalized(given: str) -> str:
    """Return ``pics`` for ``pics/`` and ``./pics``; ``.`` adds nothing to names."""
    path = os.path.normpath(given)
    return "" if path == "." else path


def _without_nested(inputs: list[IngestInput]) -> list[IngestInput]:
    paths = [each for each in inputs if isinstance(each, InputPath)]
    folders = {path.real for path in paths if Path(path.real).is_dir()}
    unique: dict[str | int, IngestInput] = {}
    for number, each in enumerate(inputs):
        if not isinstance(each, InputPath):
            unique[number] = each
        elif not _is_covered(each.real, folders):
            unique.setdefault(each.real, each)
    return list(unique.values())


def _is_covered(real: str, folders: set[str]) -> bool:
    """Return whether a walk of ``folders`` reaches ``real``; it skips hidden names."""
    path = Path(real)
    for parent in path.parents:
        if is_hidden(path.name):
            return False
        if str(parent) in folders:
            return True
        path = parent
    return False
