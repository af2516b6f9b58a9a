"""Normalizes untrusted text before it is split into terms."""

from __future__ import annotations

import re
import unicodedata

from sightline.storage.text.hidden_characters import remove_invisible
from sightline.storage.unicode_forms import normalize_form

# Control characters (Cc) and surrogates become spaces. Invisible characters are removed.
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")


def normalize(text: str, max_chars: int) -> str:
    """Return text in NFKC, case folded, without control and invisible characters.

    The result has at most ``max_chars``. Linear time on hostile text: limits runs of combining
    marks, which NFKC sorts in quadratic time, and characters that NFKC expands 18 times.
    """
    text = _CONTROL.sub(" ", text[:max_chars])
    if not text.isascii():
        text = normalize_form("NFKC", remove_invisible(text))[:max_chars]
    # Case folding can undo NFKC ("İ"): normalize again.
    folded = text.casefold()
    return folded if folded.isascii() else normalize_form("NFKC", folded)[:max_chars]


#: Letters that Unicode does not decompose, and Arabic letters that are often exchanged.
_FOLDED = str.maketrans("ıłđðħŋŧĸøىیکة", "ilddhntkoييكه", "ـ")
_FOLDED_LIGATURES = str.maketrans({"æ": "ae", "œ": "oe", "þ": "th"})
#: How German and Nordic words are written without the letters.
_SPELLED_OUT = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe", "æ": "ae"})


def fold_accents(word: str) -> str:
    """Remove marks and unite letters: ``œuf`` becomes ``oeuf``."""
    if word.isascii():
        return word
    decomposed = normalize_form("NFD", word.translate(_FOLDED).translate(_FOLDED_LIGATURES))
    bare = "".join(char for char in decomposed if not unicodedata.combining(char))
    return normalize_form("NFC", bare)


def spell_out_umlauts(word: str) -> str:
    """Write umlauts with two letters: ``müller`` becomes ``mueller``."""
    return word if word.isascii() else word.translate(_SPELLED_OUT)


def storable(text: str) -> str:
    """Remove NUL and replace lone surrogates, which Postgres cannot store."""
    return text.replace("\x00", "").encode(errors="replace").decode()
