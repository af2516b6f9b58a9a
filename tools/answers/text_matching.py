"""Words, numbers and colours in texts, in English and Chinese: what claims and evidence share."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_CHINESE: Final = re.compile(r"[\u4e00-\u9fff]")
YES: Final = frozenset({"yes", "是", "是的", "有"})
NO: Final = frozenset({"no", "否", "不是", "没有"})
_DENIALS: Final = re.compile(
    r"\b(?:no|not|never|none|without|neither|nor)\b|n't\b|[不没無无未非]", re.IGNORECASE
)


def plain(text: str) -> str:
    """Letters, digits and points between single blanks, in lower case: what wording leaves."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    kept = "".join(c if c.isalnum() or c == "." else " " for c in folded)
    return " ".join(kept.split()).strip(".")


def stands_in(wanted: str, text: str) -> bool:
    """Whether the words of ``wanted`` stand in ``text`` as whole words, in their order.

    Chinese has no blanks between words, so there any place will do.
    """
    words, within = plain(wanted), plain(text)
    if not words:
        return False
    if _CHINESE.search(words):
        return words.replace(" ", "") in within.replace(" ", "")
    found = rf"(?<![a-z0-9])(?<!\d\.){re.escape(words)}(?![a-z0-9])(?!\.\d)"
    return re.search(found, within) is not None


def numbers(text: str) -> list[str]:
    """The numbers in a text, without signs for thousands: ``1,200.50`` is ``1200.5``."""
    found = []
    for match in _NUMBER.findall(unicodedata.normalize("NFKC", text)):
        whole, point, rest = match.replace(",", "").partition(".")
        rest = rest.replace(".", "").rstrip("0")
        found.append((whole.lstrip("0") or "0") + (point + rest if rest else ""))
    return found


def denies(text: str) -> bool:
    """Whether a sentence says that something is not so: what it names need not be there."""
    return _DENIALS.search(text) is not None


def is_yes(text: str) -> bool:
    """Whether the whole text is a yes."""
    return plain(text) in YES


def is_no(text: str) -> bool:
    """Whether the whole text is a no."""
    return plain(text) in NO
