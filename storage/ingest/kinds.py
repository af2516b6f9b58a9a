"""What a file claims to be, by its name."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

Claim = Literal["image", "text", "archive", "unknown"]

_IMAGE = {
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"),
    *(".avif", ".heic", ".heif"),
}
_TEXT = {".txt", ".md", ".markdown"}
_ARCHIVE = {".zip", ".tar", ".tgz"}
_MIME_TYPES = {".txt": "text/plain", ".md": "text/markdown", ".markdown": "text/markdown"}

# Left behind by file managers; nobody means them.
_LITTER = {"thumbs.db", "desktop.ini", "__macosx"}


def claim(name: str) -> Claim:
    """What the last suffix of ``name`` says; ``unknown`` files are looked into all the same."""
    path = PurePosixPath(name.lower())
    suffix = path.suffix
    if suffix in _IMAGE:
        return "image"
    if suffix in _TEXT:
        return "text"
    if suffix in _ARCHIVE or path.suffixes[-2:] == [".tar", ".gz"]:
        return "archive"
    return "unknown"


def text_mime_type(name: str) -> str:
    """The media type of a text file."""
    return _MIME_TYPES.get(PurePosixPath(name.lower()).suffix, "text/plain")


def hidden(part: str) -> bool:
    """Whether a file or folder of this name is skipped without a word."""
    return (part.startswith(".") and part not in (".", "..")) or part.lower() in _LITTER
