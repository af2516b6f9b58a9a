"""What a file claims to be, by its name."""

from __future__ import annotations

from collections.abc import Container
from pathlib import PurePosixPath
from typing import Literal

Claim = Literal["image", "text", "rows", "pdf", "video", "subtitles", "archive", "unknown"]

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
_SUBTITLES = {".srt": "application/x-subrip", ".vtt": "text/vtt"}
_VIDEO = {
    ".mp4": "video/mp4",
    ".m4v": "video/mp4",
    ".mov": "video/quicktime",
    ".mkv": "video/matroska",
    ".webm": "video/webm",
    ".avi": "video/x-msvideo",
    ".ts": "video/mp2t",
    ".mpg": "video/mpeg",
    ".mpeg": "video/mpeg",
}
_OTHERS = {".pdf": "application/pdf"}
_MIME_TYPES = {**_TEXT, **_ROWS, **_SUBTITLES, **_VIDEO, **_OTHERS}
_CLAIMS: tuple[tuple[Container[str], Claim], ...] = (
    (_IMAGE, "image"),
    (_TEXT, "text"),
    (_ROWS, "rows"),
    (_OTHERS, "pdf"),
    (_VIDEO, "video"),
    (_SUBTITLES, "subtitles"),
    (_ARCHIVE, "archive"),
)

# Left behind by file managers; nobody means them.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


def claim(name: str) -> Claim:
    """What the last suffix of ``name`` says; ``unknown`` files are looked into all the same."""
    path = PurePosixPath(name.lower())
    suffix = path.suffix
    if path.suffixes[-2:] == [".tar", ".gz"]:
        return "archive"
    return next((kind for suffixes, kind in _CLAIMS if suffix in suffixes), "unknown")


def suffix_of(name: str) -> str:
    """The last suffix in lower case, with its dot."""
    return PurePosixPath(name.lower()).suffix


def mime_type(name: str) -> str:
    """The media type by the name of what is no picture."""
    return _MIME_TYPES.get(PurePosixPath(name.lower()).suffix, "text/plain")


def hidden(part: str) -> bool:
    """Whether a file or folder of this name is skipped without a word."""
    return (part.startswith(".") and part not in (".", "..")) or part.lower() in _LITTER
