"""What the arguments of an ingest mean: files, folders, patterns, uploads."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.ingest.discover.discovered_file import Remote, Upload
from sightline.storage.ingest.discover.file_types import hidden


@dataclass(frozen=True, slots=True)
class Root:
    """An argument: how results name it, and where it really is."""

    given: str
    real: str


#: What an ingest is given once its arguments are resolved.
Given = Root | Upload | Remote


def resolve(paths: Sequence[str | Path | Given]) -> list[Given]:
    """Expand patterns and drop what stands in a folder that is taken anyway.

    A `Root` is taken as it is: its caller has resolved it, and may have checked where it leads.

    Raises InvalidArgumentError that names every argument that leads nowhere.
    """
    roots: list[Given] = []
    missing: list[str] = []
    for path in paths:
        if isinstance(path, Root | Upload | Remote):
            roots.append(path)
            continue
        given = os.path.expanduser(os.fspath(path))  # noqa: PTH111 - keeps names as they are given
        if os.path.lexists(given):
            matches = [given]
        else:
            matches = sorted(glob.glob(given, recursive=True), key=os.fsencode)  # noqa: PTH207
        if not matches:
            missing.append(given)
        roots += [Root(_tidy(match), os.path.realpath(match)) for match in matches]
    if missing or not roots:
        listed = ", ".join(shown(path) for path in missing) or "nothing"
        raise InvalidArgumentError(
            f"no file, folder or match for {listed}; give a folder, a picture, a pattern such as "
            "'photos/**/*.jpg', a .zip or a .tar"
        )
    return _outermost(roots)


def _tidy(given: str) -> str:
    """``pics/`` is ``pics`` and ``./pics`` too; ``.`` gives names that start with the file's."""
    tidy = os.path.normpath(given)
    return "" if tidy == "." else tidy


def _outermost(roots: list[Given]) -> list[Given]:
    folders = {root.real for root in roots if isinstance(root, Root) and Path(root.real).is_dir()}
    kept: list[Given] = []
    seen: set[str] = set()
    for root in roots:
        if isinstance(root, Root):
            if root.real in seen or _covered(root.real, folders):
                continue
            seen.add(root.real)
        kept.append(root)
    return kept


def _covered(real: str, folders: set[str]) -> bool:
    """Whether a walk of one of ``folders`` comes to ``real`` without passing what is hidden."""
    below = Path(real)
    for parent in below.parents:
        if hidden(below.name):
            return False
        if str(parent) in folders:
            return True
        below = parent
    return False
