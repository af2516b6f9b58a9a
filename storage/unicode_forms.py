"""Bring untrusted text into a Unicode normal form, in linear time.

Only this module calls `unicodedata.normalize`, which sorts a run of combining marks in quadratic
time and holds the lock of the interpreter: 100,000 marks would stop the server for half a minute.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Literal

_MAX_MARK_RUN = 30  # of the Unicode Stream-Safe Text Format
# They are no marks themselves, but begin with one when they are decomposed.
_HIDDEN_MARKS = "\u0f73\u0f75\u0f81\uff9e\uff9f"
_MAX_NAME_CHARS = 1_000

UnicodeForm = Literal["NFC", "NFD", "NFKC"]


def normalize_form(form: UnicodeForm, text: str) -> str:
    """Return text in a normal form, without what exceeds 30 marks in a run."""
    if text.isascii():
        return text
    return unicodedata.normalize(form, "".join(_limit_marks(text)))


def normalize_name(name: str) -> str:
    """Return a name in NFC, cut to 1,000 characters, which no name has."""
    return normalize_form("NFC", name[:_MAX_NAME_CHARS])


def _limit_marks(text: str) -> Iterator[str]:
    run = 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) or char in _HIDDEN_MARKS else 0
        if run <= _MAX_MARK_RUN:
            yield char
