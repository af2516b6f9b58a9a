"""English and Chinese words for colors, directions, numbers and plurals.

Answers use only these words, so that each object and value has exactly one name.
"""

from __future__ import annotations

from typing import Final

from sightline.training.world.core.canvas import RGB

#: Clearly distinguishable colors with the RGB values used for drawing.
COLORS: Final[dict[str, RGB]] = {
    "red": (200, 38, 38),
    "orange": (238, 130, 28),
    "yellow": (240, 205, 40),
    "green": (44, 140, 62),
    "blue": (38, 84, 190),
    "purple": (124, 52, 160),
    "pink": (240, 140, 178),
    "brown": (122, 76, 40),
    "black": (30, 31, 34),
    "grey": (128, 131, 136),
    "white": (240, 240, 238),
}

#: Chinese translation of English words in answers and captions.
CHINESE: Final[dict[str, str]] = {
    "red": "红色",
    "orange": "橙色",
    "yellow": "黄色",
    "green": "绿色",
    "blue": "蓝色",
    "purple": "紫色",
    "pink": "粉色",
    "brown": "棕色",
    "black": "黑色",
    "grey": "灰色",
    "white": "白色",
    "yes": "是",
    "no": "否",
    "left": "左边",
    "right": "右边",
    "above": "上面",
    "below": "下面",
}

_NUMBERS: Final = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]
_CHINESE_NUMBERS: Final = "零一二三四五六七八九十"
_ODD_PLURALS: Final = {
    "bus": "buses",
    "box": "boxes",
    "bookshelf": "bookshelves",
    "vertebra": "vertebrae",
    "mouse": "mice",
    "axis": "axes",
    "cross": "crosses",
    "toothbrush": "toothbrushes",
}


def plural(noun: str, count: int = 2) -> str:
    """Return the form of ``noun`` after ``count``."""
    if count == 1:
        return noun
    return _ODD_PLURALS.get(noun, f"{noun}s")


def article(phrase: str) -> str:
    """Put "a" or "an" before ``phrase``."""
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def number_word(count: int) -> str:
    """Return ``count`` as an English word up to twelve, else as digits."""
    return _NUMBERS[count] if count < len(_NUMBERS) else str(count)


def number_word_zh(count: int) -> str:
    """Return ``count`` in Chinese before a measure word; 2 is 两."""
    if count == 2:
        return "两"
    return _CHINESE_NUMBERS[count] if count <= 10 else str(count)


def count_phrase(count: int, phrase: str) -> str:
    """Combine a count and a phrase: "two white vans", "a white van"."""
    if count == 1:
        return article(phrase)
    head, _, noun = phrase.rpartition(" ")
    return " ".join(filter(None, (number_word(count), head, plural(noun, count))))


def join_list(parts: list[str]) -> str:
    """Join parts as "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def join_list_zh(parts: list[str]) -> str:
    """Join parts as "甲、乙和丙"."""
    return parts[0] if len(parts) == 1 else f"{'、'.join(parts[:-1])}和{parts[-1]}"


def yes_no(fact: bool) -> tuple[str, str]:
    """Return "yes" or "no" in English and Chinese."""
    return ("yes", "是") if fact else ("no", "否")
