"""Remove or escape characters that are invisible, or reorder or overwrite text.

Hidden are: control characters except tab and line breaks; bidirectional overrides, embeddings and
isolates; zero-width characters; tag characters; variation selectors; fillers; noncharacters and
lone surrogates. A few of them belong to ordinary text and stay where they have an effect that a
reader sees:

- ZWJ and ZWNJ beside a letter of a joining or Indic script, and ZWJ between two emoji;
- one directional mark between visible characters of a text with right-to-left letters;
- ZWSP between letters of Southeast Asian scripts, which write no spaces;
- one variation selector after a character that has variants (emoji, symbol, Han, Mongolian);
- the tag characters of the flags of England, Scotland and Wales.

Between two visible characters at most one selector, one other hidden character and one blank stay,
so that a message cannot be encoded in a run. Blanks are the characters that look like a space and
are none; two ideographic spaces stay, which indent a Chinese paragraph. Private-use characters have
a glyph and stay.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from typing import Final

_ZWSP, _ZWNJ, _ZWJ = "\u200b", "\u200c", "\u200d"
_DIRECTIONAL_MARKS: Final = "\u061c\u200e\u200f"
_MONGOLIAN_SEPARATOR: Final = "\u180e"

_CONTROLS: Final = r"\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f"
_NONCHARACTERS: Final = r"\ud800-\udfff\ufdd0-\ufdef" + "".join(
    f"\\U{plane:04x}fffe\\U{plane:04x}ffff" for plane in range(0x11)
)
#: Format characters (Cf) without the visible signs that precede Arabic and Kaithi numbers, and all
#: that Unicode lists as Default_Ignorable_Code_Point, assigned or not.
_INVISIBLE: Final = (
    r"\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U00013430-\U0001343f\U00016fe4"
    r"\U0001bca0-\U0001bca3\U0001d159\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
_RUN: Final = re.compile(f"[{_CONTROLS}{_INVISIBLE}{_NONCHARACTERS}]+")
_LINE_BREAK: Final = re.compile("\r\n?|[\v\f\x85\u2028\u2029]")
#: Space separators (Zs) except the space, the Braille blank and the blank hieroglyphs.
_BLANK: Final = r"\xa0\u1680\u2000-\u200a\u202f\u205f\u2800\u3000\U00013441\U00013442"
_ORDINARY: Final = " \t\n\v\f\r\x85\u2028\u2029"
_BLANK_RUN: Final = re.compile(f"[{_BLANK}][{_BLANK}{_ORDINARY}]+")
_IDEOGRAPHIC_SPACE: Final = "\u3000"
_SPACING: Final = re.compile("[\t\n\v\f\r\x85\u2028\u2029]")

_JOINING: Final = re.compile(
    r"[\u0600-\u08ff\u0900-\u109f\u1780-\u18af\u1900-\u1cff\ua800-\uabff\ufb50-\ufdcf\ufdf0-\ufdff"
    r"\ufe70-\ufefc\U00010a00-\U00010fff\U00011000-\U00011fff\U0001e900-\U0001e95f]"
)
_SOUTHEAST_ASIAN: Final = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u1980-\u1aaf]")
_RIGHT_TO_LEFT: Final = re.compile(
    r"[\u0590-\u061b\u061d-\u08ff\ufb1d-\ufdcf\ufdf0-\ufdff\ufe70-\ufefc\U00010800-\U00010fff"
    r"\U0001e800-\U0001efff]"
)
_MONGOLIAN: Final = re.compile(r"[\u1800-\u180a\u1810-\u18af]")
_HAN: Final = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]")
_HIEROGLYPH: Final = re.compile(r"[\U00013000-\U0001342f\U00013460-\U000143ff]")
_WITH_VARIANTS: Final = re.compile(
    r"[0\u1000-\u109f\ua840-\ua877\uaa60-\uaa7f\U00010ac0-\U00010aff]"
)
_KEYCAPS_AND_INFORMATION: Final = "#*0123456789\u2139"

_BLACK_FLAG: Final = "\U0001f3f4"
_FLAG_TAGS: Final = tuple(
    "".join(chr(0xE0000 + ord(letter)) for letter in region) + "\U000e007f"
    for region in ("gbeng", "gbsct", "gbwls")
)


def remove_hidden(text: str) -> str:
    """Return the text without hidden characters; every line break becomes LF."""
    return _rewrite(_LINE_BREAK.sub("\n", text), _remove)


def remove_and_count_hidden(text: str) -> tuple[str, int]:
    """Return the text without hidden characters, and how many were removed."""
    text = _LINE_BREAK.sub("\n", text)
    cleaned = _rewrite(text, _remove)
    return cleaned, len(text) - len(cleaned)


def escape_hidden(text: str) -> str:
    """Return the text on one line, with hidden characters as visible escapes."""
    return _SPACING.sub(lambda match: _escape(match[0]), _rewrite(text, _escape_run))


def remove_invisible(text: str) -> str:
    """Remove hidden characters wherever they are, to match words. Not for display."""
    return _RUN.sub("", text)


def _remove(run: Sequence[tuple[str, bool]]) -> str:
    return "".join(char for char, stays in run if stays)


def _escape_run(run: Sequence[tuple[str, bool]]) -> str:
    # An escape separates what stays from the character that permits it, so all are escaped.
    text = "".join(char for char, _ in run)
    return text if all(stays for _, stays in run) else "".join(map(_escape, text))


def _escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")


def _rewrite(text: str, render: Callable[[Sequence[tuple[str, bool]]], str]) -> str:
    """Replace runs of hidden characters; ``render`` gets each and whether it stays."""

    def rewrite(match: re.Match[str]) -> str:
        start, end = match.span()
        before, after = text[max(0, start - 1) : start], text[end : end + 1]
        return render(list(_decide(match[0], before, after, is_right_to_left)))

    has_marks = any(mark in text for mark in _DIRECTIONAL_MARKS)
    is_right_to_left = has_marks and _RIGHT_TO_LEFT.search(text) is not None
    # Afterwards, because a hidden character can separate two blanks.
    return _BLANK_RUN.sub(lambda match: render(_decide_blanks(match[0])), _RUN.sub(rewrite, text))


def _decide_blanks(run: str) -> list[tuple[str, bool]]:
    """Tell which characters of a run of blanks and ordinary spaces stay."""
    decided = [(run[0], True)]
    indents = run.startswith(_IDEOGRAPHIC_SPACE * 2)
    decided += [
        (char, char in _ORDINARY or (index == 1 and indents))
        for index, char in enumerate(run[1:], 1)
    ]
    return decided


def _decide(run: str, before: str, after: str, right_to_left: bool) -> Iterator[tuple[str, bool]]:
    """Tell which characters of a run between two visible characters stay."""
    if before == _BLACK_FLAG and (flag := next(filter(run.startswith, _FLAG_TAGS), "")):
        yield from ((char, True) for char in flag)
        yield from ((char, False) for char in run[len(flag) :])
        return
    selected = joined = False
    for char in run:
        stays = False
        if not joined and not selected and _is_variant(before, char):
            stays = selected = True
        elif not joined and _is_joiner(before, char, after, right_to_left):
            stays = joined = True
        yield char, stays


def _is_joiner(before: str, char: str, after: str, right_to_left: bool) -> bool:
    """Return whether a joiner, separator or mark has an effect at this place."""
    if char in _DIRECTIONAL_MARKS:
        return right_to_left
    if char == _ZWSP:
        return all(map(_SOUTHEAST_ASIAN.match, (before, after)))
    if char == _MONGOLIAN_SEPARATOR:
        return all(map(_MONGOLIAN.match, (before, after)))
    if "\U00013430" <= char <= "\U0001343f":
        return any(map(_HIEROGLYPH.match, (before, after)))
    if char in (_ZWNJ, _ZWJ):
        emoji = char == _ZWJ and _is_symbol(before) and _is_symbol(after)
        return emoji or any(map(_JOINING.match, (before, after)))
    return False


def _is_variant(before: str, char: str) -> bool:
    """Return whether the character before a variation selector has such a variant."""
    if char in "\ufe0e\ufe0f":
        return before != "" and (before in _KEYCAPS_AND_INFORMATION or _is_symbol(before, "SP"))
    if "\ufe00" <= char <= "\ufe02":
        patterns = (_HAN, _WITH_VARIANTS, _HIEROGLYPH)
        return _is_symbol(before, "SP") or any(each.match(before) for each in patterns)
    if "\ufe03" <= char <= "\ufe06":
        return _HIEROGLYPH.match(before) is not None
    if "\U000e0100" <= char <= "\U000e011f":
        return _HAN.match(before) is not None
    if char in "\u180b\u180c\u180d\u180f":
        return _MONGOLIAN.match(before) is not None
    return False


def _is_symbol(char: str, categories: str = "S") -> bool:
    """Return whether a character is an emoji or another symbol beyond ASCII."""
    return char > "\x7f" and unicodedata.category(char)[0] in categories
