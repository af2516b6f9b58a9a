"""Text from anywhere, brought to one form before it is cut into terms."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Format characters (Cf: zero-width, direction, soft hyphen, BOM) join what they stand between;
# control characters (Cc, NUL among them) part it; surrogates cannot be stored at all.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
_MARK_RUN_LIMIT = 30  # of the Unicode Stream-Safe Text Format


def normalise(text: str, max_chars: int) -> str:
    """NFKC, case folded, without control and format characters, at most ``max_chars`` long.

    Safe on hostile text: the cost is linear, though NFKC sorts runs of combining marks in
    quadratic time and lengthens some characters 18 times.
    """
    text = _CONTROL.sub(" ", text[:max_chars])
    if not text.isascii():
        text = "".join(_without_format(_limit_marks(text)))
        text = unicodedata.normalize("NFKC", text)[:max_chars]
    # Case folding can take a character out of NFKC ("İ"): a second pass makes it stable.
    folded = text.casefold()
    return folded if folded.isascii() else unicodedata.normalize("NFKC", folded)[:max_chars]


def fold_accents(word: str) -> str:
    """``café`` to ``cafe``: what is left of a word without its combining marks."""
    if word.isascii():
        return word
    decomposed = unicodedata.normalize("NFD", word)
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return unicodedata.normalize("NFC", bare)


def storable(text: str) -> str:
    """The text as Postgres can hold it: no NUL, no lone surrogates; all else untouched."""
    return text.replace("\x00", "").encode("utf-8", "replace").decode("utf-8")


def _limit_marks(text: str) -> Iterator[str]:
    run = 0
    for char in text:
        run = run + 1 if unicodedata.combining(char) else 0
        if run <= _MARK_RUN_LIMIT:
            yield char


def _without_format(chars: Iterator[str]) -> Iterator[str]:
    return (char for char in chars if unicodedata.category(char) != "Cf")
