"""Show the names of files, and tell which ones are skipped."""

from __future__ import annotations

import os

# Files of file managers, never wanted.
_SYSTEM_FILES = {"thumbs.db", "desktop.ini", "__macosx"}
# Begins the file in which Office notes who has a document open.
_OWNER_FILE = "~$"


def is_hidden(part: str) -> bool:
    """Return whether a file or folder of this name is skipped silently."""
    is_dotted = part.startswith(".") and part not in (".", "..")
    return is_dotted or part.startswith(_OWNER_FILE) or part.lower() in _SYSTEM_FILES


def printable_path(path: str) -> str:
    r"""Return a path for people: bytes that are not UTF-8 as ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def is_utf8(path: str) -> bool:
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
