"""Determine the type of a file from its name."""

from __future__ import annotations

import os
from pathlib import PurePosixPath
from typing import Literal

FileType = Literal["image", "text", "rows", "pdf", "video", "subtitles", "archive", "unknown"]

#: Decoded in pages or frames, for as long as these take. An unknown file can be a PDF.
STEPWISE_TYPES = frozenset[FileType]({"pdf", "video", "unknown"})

_IMAGE = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif"),
}
_ARCHIVE = {".zip", ".tar", ".tgz"}
_TEXT = {
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".markdown": "text/markdown",
    ".html": "text/html",
    ".htm": "text/html",
    ".xhtml": "application/xhtml+xml",
}
_ROWS = {
    ".csv": "text/csv",
    ".tsv": "text/tab-separated-values",
    ".jsonl": "application/jsonl",
    ".ndjson": "application/jsonl",
}
_SUBTITLES = {
    ".srt": "application/x-subrip",
    ".vtt": "text/vtt",
    **dict.fromkeys((".ass", ".ssa"), "text/x-ssa"),
}
_VIDEO = {
    **dict.fromkeys((".mp4", ".m4v", ".f4v", ".insv", ".360", ".lrv", ".lrf"), "video/mp4"),
    **dict.fromkeys((".mov", ".qt"), "video/quicktime"),
    ".3gp": "video/3gpp",
    ".3g2": "video/3gpp2",
    ".mkv": "video/matroska",
    ".webm": "video/webm",
    **dict.fromkeys((".avi", ".divx"), "video/x-msvideo"),
    **dict.fromkeys((".ts", ".mts", ".m2ts", ".m2t", ".tod", ".tp", ".trp"), "video/mp2t"),
    **dict.fromkeys((".mpg", ".mpeg", ".vob", ".mod"), "video/mpeg"),
    **dict.fromkeys((".wmv", ".asf"), "video/x-ms-wmv"),
    ".flv": "video/x-flv",
    **dict.fromkeys((".ogv", ".ogm"), "video/ogg"),
    ".mxf": "application/mxf",
    ".dv": "video/x-dv",
}
_PDF = {".pdf": "application/pdf"}
_MIME_TYPES = {**_TEXT, **_ROWS, **_SUBTITLES, **_VIDEO, **_PDF}
_FILE_TYPES: dict[str, FileType] = {
    **dict.fromkeys(_IMAGE, "image"),
    **dict.fromkeys(_TEXT, "text"),
    **dict.fromkeys(_ROWS, "rows"),
    **dict.fromkeys(_PDF, "pdf"),
    **dict.fromkeys(_VIDEO, "video"),
    **dict.fromkeys(_SUBTITLES, "subtitles"),
    **dict.fromkeys(_ARCHIVE, "archive"),
}

# Files of file managers, never wanted.
_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}


def file_type_of(name: str) -> FileType:
    """Return the type for the suffix of ``name``; ``unknown`` files are still opened."""
    if PurePosixPath(name.lower()).suffixes[-2:] == [".tar", ".gz"]:
        return "archive"
    return _FILE_TYPES.get(suffix_of(name), "unknown")


def suffix_of(name: str) -> str:
    """Return the last suffix in lower case, with its dot."""
    return PurePosixPath(name.lower()).suffix


def mime_type_of(name: str) -> str:
    """Return the MIME type for the name of a file that is not an image."""
    return _MIME_TYPES.get(suffix_of(name), "text/plain")


def is_hidden(part: str) -> bool:
    """Return whether a file or folder of this name is skipped silently."""
    return (part.startswith(".") and part not in (".", "..")) or part.lower() in _SYSTEM_FILES


def printable_path(path: str) -> str:
    r"""Return a path for people: bytes that are not UTF-8 as ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
