"""Match words, numbers, yes and no in English and Chinese text."""

from __future__ import annotations

import re
from typing import Final

from sightline.storage.text.hidden_characters import remove_invisible
from sightline.storage.unicode_forms import normalize_form

_NUMBER: Final = re.compile(r"\d+(?:[.,]\d+)*")
_CHINESE: Final = re.compile(r"[\u4e00-\u9fff]")
_YES: Final = frozenset({"yes", "是", "是的", "有"})
_NO: Final = frozenset({"no", "否", "不是", "没有"})
_NEGATION: Final = re.compile(
    r"\b(?:no|not|never|none|without|neither|nor)\b|n't\b|[不没無无未非]", re.IGNORECASE
)


def normalize(text: str) -> str:
    """Return lower-case letters, digits and points, separated by single spaces."""
    folded = normalize_form("NFKC", remove_invisible(text)).casefold()
    separated = "".join(c if c.isalnum() or c == "." else " " for c in folded)
    return " ".join(separated.split()).strip(".")


def contains_phrase(text: str, phrase: str) -> bool:
    """Return whether ``text`` contains the whole words of ``phrase`` in order.

    Chinese has no spaces between words, so a Chinese phrase matches anywhere.
    """
    words, within = normalize(phrase), normalize(text)
    if not words:
        return False
    if _CHINESE.search(words):
        return words.replace(" ", "") in within.replace(" ", "")
    pattern = rf"(?<![a-z0-9])(?<!\d\.){re.escape(words)}(?![a-z0-9])(?!\.\d)"
    return re.search(pattern, within) is not None


def numbers(text: str) -> list[str]:
    """Return the numbers in a text without thousands separators or final zeros.

    >>> numbers("1,200.50 mm")
    ['1200.5']
    """
    found = []
    for match in _NUMBER.findall(normalize_form("NFKC", remove_invisible(text))):
        whole, point, rest = match.replace(",", "").partition(".")
        rest = rest.replace(".", "").rstrip("0")
        found.append((whole.lstrip("0") or "0") + (point + rest if rest else ""))
    return found


def is_negated(text: str) -> bool:
    return _NEGATION.search(text) is not None


def is_yes(text: str) -> bool:
    return normalize(text) in _YES


def is_no(text: str) -> bool:
    return normalize(text) in _NO
