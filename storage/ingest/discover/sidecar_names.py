"""Find the sidecars of the files of a folder by their names."""

from __future__ import annotations

import posixpath
import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import takewhile
from pathlib import PurePosixPath

from sightline.storage.ingest.discover.sidecars import TABLE_NAMES, TreeFile
from sightline.storage.ingest.formats import FileType, file_type_of, suffix_of

_SIDECAR_SUFFIXES = (".txt", ".json", ".xmp")
# A text beside a document is a document of its own, unless it has the whole name of the other.
_STEM_SUFFIXES: dict[FileType, tuple[str, ...]] = {
    "image": (".txt", ".json", ".xmp"),
    "video": (".json", ".xmp"),
    "audio": (".json", ".xmp"),
    "pdf": (".json", ".xmp"),
    "document": (".json", ".xmp"),
}
_NOT_DESCRIBED = ("archive", "subtitles", "unsupported", "unknown")
# Google Takeout writes "IMG_1.jpg.supplemental-metadata.json" and cuts the name before ".json" to
# 46 characters. The second "IMG_1.jpg" is "IMG_1(1).jpg" with "IMG_1.jpg.supplemental-metadata(1)".
_TAKEOUT_SUFFIX = ".supplemental-metadata"
_TAKEOUT_CHARS = 46
_NUMBERED = re.compile(r"(.*)\((\d{1,5})\)")
_EDITED = re.compile(
    r"(.+)-(?:edited|bearbeitet|modifié|editado|editada|modificato|bewerkt|redigerad|redigert|"
    r"redigeret|edytowane|upraveno|muokattu|изменено|düzenlendi|編集済み|已编辑|已修改|수정됨)"
)


def files_of(paths: list[str]) -> Iterator[TreeFile]:
    """Yield the files of one folder in the given order, each with its sidecars."""
    own = sidecars_of(paths)
    sidecars = {sidecar for each in own.values() for sidecar in each}
    for path in paths:
        if path not in sidecars and posixpath.basename(path) not in TABLE_NAMES:
            yield TreeFile(path, tuple(own.get(path, ())))


def sidecars_of(names: list[str]) -> dict[str, list[str]]:
    """Map the files of one folder to their sidecars, closest first.

    ``a.jpg`` has ``a.jpg.txt``, ``a.txt``, ``a.jpg.json``, ``a.json``, ``a.jpg.xmp``, ``a.xmp`` and
    the files of Google Takeout. ``a.mp4`` has no texts, but ``a.srt``, ``a.en.vtt`` and so on.
    Other files have those with their whole name, and documents also ``a.json`` and ``a.xmp``.
    """
    by_lower = {
        name[: -len(suffix)] + suffix: name for name, suffix in map(_split, names) if suffix
    }
    takeout = _TakeoutNames(names)
    subtitles = sorted(name for name in names if file_type_of(name) == "subtitles")
    sidecars: dict[str, list[str]] = {}
    for name in names:
        file_type = file_type_of(name)
        if file_type in _NOT_DESCRIBED or not suffix_of(name):
            continue
        stem = str(PurePosixPath(name).with_suffix(""))
        own = {}
        for suffix in _SIDECAR_SUFFIXES:
            bases = (name, stem) if suffix in _STEM_SUFFIXES.get(file_type, ()) else (name,)
            found = (by_lower.get(f"{base}{suffix}") for base in bases)
            own.update(dict.fromkeys(each for each in found if each and each != name))
        if file_type in ("image", "video"):
            own.update(dict.fromkeys(takeout.sidecars_of(name)))
        if file_type in ("video", "audio"):
            own.update(dict.fromkeys(_with_prefix(subtitles, f"{stem}.")))
        if own:
            sidecars[name] = list(own)
    return sidecars


def _with_prefix(names: list[str], prefix: str) -> Iterator[str]:
    """Yield the sorted names with a prefix, without a look at all names."""
    start = bisect_left(names, prefix)
    found = (names[place] for place in range(start, len(names)))
    return takewhile(lambda name: name.startswith(prefix), found)


def _split(name: str) -> tuple[str, str]:
    """Return a name and its suffix in lower case, if it is that of a sidecar."""
    suffix = suffix_of(name)
    return name, suffix if suffix in _SIDECAR_SUFFIXES else ""


class _TakeoutNames:
    """The JSON files of a folder as Google Takeout names them."""

    def __init__(self, names: list[str]) -> None:
        self._files: dict[tuple[str, str], str] = {}
        self._stems: defaultdict[str, list[str]] = defaultdict(list)
        for name in names:
            if name.endswith(".json"):
                self._files[_numbered(name.removesuffix(".json"))] = name
            elif file_type_of(name) == "image":
                self._stems[str(PurePosixPath(name).with_suffix(""))].append(name)

    def sidecars_of(self, name: str) -> Iterator[str]:
        """Yield the files for a picture, also for its edited copy and its video."""
        path = PurePosixPath(name)
        stem, number = _numbered(path.stem)
        edited = _EDITED.fullmatch(stem)
        for original in (stem, edited[1] if edited else None):
            if original is not None:
                yield from self._find(str(path.with_name(f"{original}{path.suffix}")), number)
        if number:
            yield from self._find(name, "")
        if file_type_of(name) == "video":
            for picture in self._stems.get(str(path.with_suffix("")), ()):
                picture_stem, number = _numbered(PurePosixPath(picture).stem)
                yield from self._find(
                    str(path.with_name(f"{picture_stem}{PurePosixPath(picture).suffix}")), number
                )

    def _find(self, base: str, number: str) -> Iterator[str]:
        whole = base + _TAKEOUT_SUFFIX
        folder_chars = len(base) - len(posixpath.basename(base))
        shortest = min(len(base), folder_chars + _TAKEOUT_CHARS)
        for length in range(len(whole), shortest - 1, -1):
            if (found := self._files.get((whole[:length], number))) is not None:
                yield found


def _numbered(stem: str) -> tuple[str, str]:
    """Return a name without the number of a copy, such as "(1)", and the number."""
    match = _NUMBERED.fullmatch(stem)
    return (match[1], match[2]) if match else (stem, "")
