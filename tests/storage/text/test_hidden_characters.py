from __future__ import annotations

import sys
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sightline.storage.text.hidden_characters import (
    escape_hidden,
    remove_and_count_hidden,
    remove_hidden,
    remove_invisible,
)

#: Format characters (Cf) with a glyph: signs before Arabic, Syriac and Kaithi numbers.
VISIBLE_FORMAT = {
    *range(0x600, 0x606), 0x6DD, 0x70F, 0x890, 0x891, 0x8E2, 0x110BD, 0x110CD,
}  # fmt: skip
#: Default_Ignorable_Code_Point of Unicode that is not in the category Cf.
IGNORABLE = {
    0x34F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x180B, 0x180C, 0x180D, 0x180F, 0x2065, 0x3164, 0xFFA0,
    *range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000),
}  # fmt: skip
#: Characters whose place decides whether they stay.
IN_CONTEXT = [
    *map(chr, (0x200B, 0x200C, 0x200D, 0x200E, 0x200F, 0x61C, 0x180E, 0x13430)),
    *map(chr, (0xFE00, 0xFE04, 0xFE0E, 0xFE0F, 0x180B, 0xE0100, 0xE0067, 0xE007F)),
]
FLAGS = {
    region: "\U0001f3f4" + "".join(chr(0xE0000 + ord(c)) for c in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
}
ORDINARY = (
    "A red bus, 3 < 4 and x[0] <b>bold</b>\nsecond line\tand a tab",
    "Zu\u0308rich, cafe\u0301, na\u00efve, 10\u00a0000\u202f\u20ac \u2014 \u201cquoted\u201d",
    "一辆红色的公共汽车\u3000（夜景）",
    "葛\U000e0100城市 and 神\ufe00社",
    "می\u200cخواهم کتاب\u200cها را بخوانم",
    "שָׁלוֹם עֲלֵיכֶם",
    "עברית C++\u200e (1)",
    "क्\u200dष and क्\u200cष, हिन्दी",
    "ശ്രീ ന്\u200d",
    "ක්\u200dරියා",
    "ภาษา\u200bไทย and ភាសា\u200bខ្មែរ",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\u200d\U0001f525",
    "\U0001f3f3\ufe0f\u200d\U0001f308 1\ufe0f\u20e3 \u2139\ufe0f",
    "\U0001f44d\U0001f3fd \U0001f469\U0001f3ff\u200d\U0001f52c \U0001f1e9\U0001f1ea",
    *FLAGS.values(),
    "\u182e\u1823\u1829\u182d\u180b\u1823\u182f and \u1820\u180e\u1820",
    "\u0600\u0661\u0662 \u06dd",
    "한국어 조선말",
    "\ue000 private use has a glyph in its font",
)


@pytest.mark.parametrize("text", ORDINARY)
def test_ordinary_text_of_many_scripts_is_unchanged(text: str) -> None:
    assert remove_and_count_hidden(text) == (text, 0)


@pytest.mark.parametrize(
    ("hidden", "visible", "removed"),
    [
        ("".join(chr(0xE0000 + ord(c)) for c in "obey") + "walrus", "walrus", 4),
        ("a\u202ecba\u202c", "acba", 2),
        ("\u2066a\u2069 \u202ab\u202c", "a b", 4),
        ("\x1b[31mred\x1b]0;pwned\x07\x9b2J", "[31mred]0;pwned2J", 4),
        ("pass\u200bword, in\u00advoice\ufeff", "password, invoice", 3),
        ("a\u200db \u200cc", "ab c", 2),
        ("\u200e\u200f\u200emarks without a right-to-left letter", None, 3),
        ("עברית\u200e\u200e\u200f (1)", "עברית\u200e (1)", 2),
        ("می\u200c\u200d\u200c\u200cخواهم", "می\u200cخواهم", 3),
        ("\U0001f600\ufe0f" + "\ufe01\ufe02\U000e0101" * 3, "\U0001f600\ufe0f", 9),
        ("a\ufe0fb\ufe01c\U000e0100", "abc", 3),
        ("葛\U000e0100\U000e0101\U000e01e0城", "葛\U000e0100城", 2),
        (FLAGS["gbsct"] + "\U000e0061\U000e007f", FLAGS["gbsct"], 2),
        ("\U0001f3f4\U000e0075\U000e0073\U000e007f", "\U0001f3f4", 3),
        ("\ufff9a\ufffab\ufffb \u3164\u115f\u1160\uffa0\u2800", "ab \u2800", 7),
        ("\ud800 \udfff \ufdd0\ufffe\U0010ffff", "  ", 5),
        ("a\x00b\x7f\u0085c\u2028d\r\ne\rf", "ab\nc\nd\ne\nf", 2),
    ],
)
def test_hidden_characters_are_removed_and_counted(
    hidden: str, visible: str | None, removed: int
) -> None:
    expected = hidden.lstrip("\u200e\u200f") if visible is None else visible
    assert remove_and_count_hidden(hidden) == (expected, removed)
    assert remove_hidden(hidden) == expected


def test_no_format_or_ignorable_character_is_forgotten() -> None:
    for code in (*IGNORABLE, *range(sys.maxunicode + 1)):
        char = chr(code)
        if code in IGNORABLE or unicodedata.category(char) in ("Cf", "Cs", "Cc"):
            stays = code in VISIBLE_FORMAT or char in "\t\n\v\f\r\x85"
            assert (remove_hidden(f"a{char}b") != "ab") == stays, hex(code)


mixed_text = st.lists(
    st.one_of(
        st.characters(),
        st.sampled_from(IN_CONTEXT),
        st.sampled_from("aب神क🏴😀❤1\u1820\U00013000\n\t\r\x1b"),
        st.sampled_from(ORDINARY),
        st.integers(0xE0000, 0xE0FFF).map(chr),
    ),
    max_size=30,
).map("".join)


@given(mixed_text)
def test_cleaning_is_idempotent_and_leaves_only_what_its_place_permits(text: str) -> None:
    cleaned, removed = remove_and_count_hidden(text)
    assert remove_and_count_hidden(cleaned) == (cleaned, 0)
    assert removed >= 0
    assert remove_invisible(cleaned) == remove_invisible(remove_hidden(text))
    without_flags = cleaned
    for flag in FLAGS.values():
        without_flags = without_flags.replace(flag, "")
    assert not any("\U000e0000" <= char <= "\U000e00ff" for char in without_flags)
    for previous, char, following in zip("\0" + cleaned, cleaned, cleaned[1:] + "\0", strict=False):
        assert char in "\t\n" or unicodedata.category(char) not in ("Cc", "Cs", "Zl", "Zp")
        assert not "\u202a" <= char <= "\u202e"
        assert not "\u2060" <= char <= "\u206f"
        if char in "\u200c\u200d":
            assert previous not in "\u200c\u200d"
            assert not (previous.isascii() and following.isascii())


@given(mixed_text)
def test_an_escaped_line_is_one_line_without_hidden_characters(text: str) -> None:
    line = escape_hidden(text)
    assert remove_and_count_hidden(line) == (line, 0)
    assert len(line.splitlines()) <= 1
    line.encode()


def test_a_joiner_is_escaped_with_the_control_character_before_it() -> None:
    assert escape_hidden("ب\x1b\u200cم") == "ب\\x1b\\u200cم"
    assert escape_hidden("می\u200cخ") == "می\u200cخ"


def test_escapes_are_visible() -> None:
    text = "a\x1b[2Jb\nc\td\u202ee\U000e0041f\ud800g\x9bh"
    assert escape_hidden(text) == (r"a\x1b[2Jb\nc\td\u202ee\U000e0041f\ud800g\x9bh")


def test_words_are_matched_through_invisible_characters() -> None:
    assert remove_invisible("ig\u200bno\ufe01re می\u200cخ \u3164") == "ignore میخ "


@pytest.mark.parametrize("blank", [*"\xa0\u1680\u2000\u200a\u202f\u205f\u2800\U00013441"])
@pytest.mark.parametrize("between", ["", " ", "\n", "\t ", "\u200b", "\u3000"])
def test_of_a_run_of_blanks_one_stays(blank: str, between: str) -> None:
    run = f"a{blank}{between}{blank}{between}\u2003b"
    cleaned, hidden = remove_and_count_hidden(run)
    kept = "" if between in ("\u200b", "\u3000") else between
    assert cleaned == f"a{blank}{kept}{kept}b"
    assert hidden == len(run) - len(cleaned)
    assert remove_and_count_hidden(cleaned) == (cleaned, 0)
    escaped = escape_hidden(run)
    assert escaped != run
    assert remove_and_count_hidden(escaped) == (escaped, 0)


@pytest.mark.parametrize(
    "text", ["\u3000\u3000旅行", "10\xa0000 \xa0km", "a\u2003b", "\u2813\u2800\u2813"]
)
def test_ordinary_blanks_stay(text: str) -> None:
    assert remove_and_count_hidden(text) == (text, 0)


def test_a_third_ideographic_space_is_hidden() -> None:
    assert remove_and_count_hidden("\u3000" * 5 + "a") == ("\u3000" * 2 + "a", 3)
