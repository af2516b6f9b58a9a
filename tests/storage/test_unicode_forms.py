"""Unicode forms take linear time, and only one module computes them."""

from __future__ import annotations

import sys
import unicodedata
from pathlib import Path

import pytest

from sightline.storage import unicode_forms
from sightline.storage.unicode_forms import normalize_form, normalize_name

PACKAGE = Path(unicode_forms.__file__).parents[1]


def mark_run(text: str) -> int:
    """Return the longest run that Python has to sort."""
    longest = run = 0
    for char in unicodedata.normalize("NFKD", text):
        run = run + 1 if unicodedata.combining(char) else 0
        longest = max(longest, run)
    return longest


@pytest.mark.parametrize(
    "marks", ["\u0315\u0300\u0327\u0334", "\u0f73", "\u0f75\u0f81", "\uff9e\u0301", "\u0344"]
)
def test_no_text_has_a_long_run_of_marks_to_sort(marks: str) -> None:
    limited = "".join(unicode_forms._limit_marks("a" + marks * 300))
    assert mark_run("a" + marks * 300) >= 300
    assert mark_run(limited) <= 4 * unicode_forms._MAX_MARK_RUN


def test_every_character_that_begins_with_a_mark_counts_as_one() -> None:
    hidden = {
        char
        for char in map(chr, range(sys.maxunicode + 1))
        if not unicodedata.combining(char)
        and not "\ud800" <= char <= "\udfff"
        and unicodedata.combining(unicodedata.normalize("NFKD", char)[0])
    }
    assert hidden == set(unicode_forms._HIDDEN_MARKS)


def test_ordinary_text_is_normalized() -> None:
    assert normalize_form("NFC", "cafe\u0301 Việt") == "café Việt"
    assert normalize_form("NFD", "é") == "e\u0301"
    assert normalize_form("NFKC", "ﬁ①") == "fi1"


def test_a_name_is_cut_before_it_is_normalized() -> None:
    assert len(normalize_name("é" * 4_000_000)) == unicode_forms._MAX_NAME_CHARS


def test_no_other_module_normalizes() -> None:
    used = [
        str(path.relative_to(PACKAGE))
        for folder in ("server", "storage", "tools")
        for path in (PACKAGE / folder).rglob("*.py")
        if "unicodedata.normalize(" in path.read_text("utf-8")
    ]
    assert used == ["storage/unicode_forms.py"]
