"""Decode a plain text file."""

from __future__ import annotations

import codecs

from sightline.storage.errors import MediaError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # before UTF-16, whose mark is its beginning
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def read_text(data: bytes, max_bytes: int) -> str:
    """UTF-8, or UTF-16/32 with a byte order mark. Raises MediaError ``too_large``, ``not_text``."""
    if len(data) > max_bytes:
        raise MediaError(
            "too_large", f"has {len(data):,} bytes of text; the limit is {max_bytes:,}"
        )
    encoding = next((name for mark, name in _MARKS if data.startswith(mark)), "utf-8")
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        raise MediaError("not_text", f"is not {encoding} text (byte {error.start:,})") from error
    if "\0" in text:
        raise MediaError("not_text", "holds NUL characters, so it is not text")
    if not text.strip():
        raise MediaError("empty", "holds no text")
    return text
