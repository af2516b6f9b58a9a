"""The part of a passage that shows why it was found."""

from __future__ import annotations

import re

SNIPPET_CHARS = 280
_MATCHES = 200


def snippet(text: str, terms: tuple[str, ...], length: int = SNIPPET_CHARS) -> str:
    """At most ``length`` characters of the text, around the most of the query's terms.

    Terms are stems, so a word counts that begins with one. Cut at spaces where there are some,
    with an ellipsis on the side that was cut; white space is single.
    """
    flat = " ".join(text.split())
    if len(flat) <= length:
        return flat
    start = _best_start(flat, terms, length)
    end = start + length
    cut = flat[start:end]
    if start > 0:
        space = cut.find(" ", 0, length // 4)
        cut = "…" + cut[space + 1 :]
    if end < len(flat):
        space = cut.rfind(" ", len(cut) - length // 4)
        cut = (cut[:space] if space > 0 else cut) + "…"
    return cut


def _best_start(flat: str, terms: tuple[str, ...], length: int) -> int:
    """Where a window begins that holds the most different terms, the earliest of those."""
    wanted = sorted({term for term in terms if len(term) > 1 or not term.isascii()}, key=len)[::-1]
    if not wanted:
        return 0
    # Latin terms begin at a word's edge; others, Chinese above all, have no edges.
    pattern = "|".join(
        rf"\b{re.escape(term)}" if term.isascii() else re.escape(term) for term in wanted[:64]
    )
    found: list[tuple[int, str]] = []
    for match in re.finditer(pattern, flat, re.IGNORECASE):
        found.append((match.start(), match.group().lower()))
        if len(found) == _MATCHES:
            break
    best, start = 0, 0
    for place, (position, _) in enumerate(found):
        inside = {term for at, term in found[place:] if at < position + length * 3 // 4}
        if len(inside) > best:
            best, start = len(inside), position
    return max(0, min(start - length // 8, len(flat) - length))
