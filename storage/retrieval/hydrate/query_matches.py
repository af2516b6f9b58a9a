"""Locate query terms: the snippet of a text, and the box of matching OCR lines."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from sightline.storage.types import Box

SNIPPET_CHARS = 280
_MAX_MATCHES = 200
_MAX_TERMS = 64
_MAX_LINES = 8

TextLine = tuple[Box, str]


def snippet(text: str, terms: Sequence[str], max_chars: int = SNIPPET_CHARS) -> str:
    """Return the part of the text that contains most of the query's terms.

    Terms are stems: a word matches if it begins with one. Cuts at spaces, with an ellipsis at each
    cut, and collapses white space.
    """
    flat = " ".join(text.split())
    if len(flat) <= max_chars:
        return flat
    start = _best_start(flat, terms, max_chars)
    end = start + max_chars
    cut = flat[start:end]
    if start > 0:
        space = cut.find(" ", 0, max_chars // 4)
        cut = "…" + cut[space + 1 :]
    if end < len(flat):
        space = cut.rfind(" ", len(cut) - max_chars // 4)
        cut = (cut[:space] if space > 0 else cut) + "…"
    return cut


def match_box(lines: Sequence[TextLine], terms: Iterable[str]) -> Box | None:
    """Return the box of the fewest lines that contain all matched terms.

    >>> match_box([((0.1, 0.1, 0.9, 0.2), "Total"), ((0.1, 0.3, 0.9, 0.4), "Cash")], ["cash"])
    (0.1, 0.3, 0.9, 0.4)
    """
    usable = _usable_terms(terms)
    matches = [(box, {t for t in usable if _contains(label, t)}) for box, label in lines]
    missing = set().union(*(matched for _, matched in matches))
    chosen: list[Box] = []
    while missing and len(chosen) < _MAX_LINES:
        box, matched = max(matches, key=lambda match: len(match[1] & missing))
        chosen.append(box)
        missing -= matched
    if not chosen:
        return None
    return (
        min(box[0] for box in chosen),
        min(box[1] for box in chosen),
        max(box[2] for box in chosen),
        max(box[3] for box in chosen),
    )


def is_center_inside(box: Box, outer: Box) -> bool:
    """Return whether the center of ``box`` lies in ``outer``."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return outer[0] <= x <= outer[2] and outer[1] <= y <= outer[3]


def _best_start(flat: str, terms: Iterable[str], max_chars: int) -> int:
    """Return the start of the first window with the most distinct terms."""
    usable = sorted(_usable_terms(terms), key=len)[::-1]
    if not usable:
        return 0
    pattern = "|".join(_term_pattern(term) for term in usable[:_MAX_TERMS])
    matches: list[tuple[int, str]] = []
    for match in re.finditer(pattern, flat, re.IGNORECASE):
        matches.append((match.start(), match.group().lower()))
        if len(matches) == _MAX_MATCHES:
            break
    best, start = 0, 0
    for index, (position, _) in enumerate(matches):
        inside = {term for at, term in matches[index:] if at < position + max_chars * 3 // 4}
        if len(inside) > best:
            best, start = len(inside), position
    return max(0, min(start - max_chars // 8, len(flat) - max_chars))


def _usable_terms(terms: Iterable[str]) -> set[str]:
    """Drop single ASCII characters, which match almost everywhere."""
    return {term for term in terms if len(term) > 1 or not term.isascii()}


def _term_pattern(term: str) -> str:
    # Chinese text has no word boundaries.
    return (r"\b" if term.isascii() else "") + re.escape(term)


def _contains(label: str, term: str) -> bool:
    return re.search(_term_pattern(term), label, re.IGNORECASE) is not None
