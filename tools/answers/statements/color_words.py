"""Find the color names in a text."""

from __future__ import annotations

import re
from typing import Final

#: The eleven basic color terms of English (Berlin and Kay, 1969) and their spellings.
_WORDS: Final = {
    "red": ("red", "红"),
    "orange": ("orange", "橙", "橘"),
    "yellow": ("yellow", "黄"),
    "green": ("green", "绿"),
    "blue": ("blue", "蓝"),
    "purple": ("purple", "violet", "紫"),
    "pink": ("pink", "粉色", "粉红", "粉纸"),
    "brown": ("brown", "棕", "褐", "咖啡色"),
    "white": ("white", "白"),
    "gray": ("gray", "grey", "灰"),
    "black": ("black", "黑"),
}
#: The names of the colors.
COLORS: Final = tuple(_WORDS)
#: Words that contain a color word but do not name a color.
_NOT_COLORS: Final = re.compile(
    r"白天|白菜|明白|黄瓜|黄油|黑板|黑夜|红绿灯|orange juice|oranges?\b(?= (?:fruit|slice))"
)


def color_names(text: str) -> set[str]:
    """Return the basic colors that a text names."""
    flat = _NOT_COLORS.sub(" ", text.casefold())
    return {
        name
        for name, words in _WORDS.items()
        if any(
            re.search(rf"\b{word}(?:d?ish)?\b", flat) if word.isascii() else word in flat
            for word in words
        )
    }


def with_color(color: str, phrase: str) -> str:
    """Return the phrase for an object with a color, in the language of the phrase.

    >>> with_color("red", "van"), with_color("red", "面包车")
    ('red van', '红色面包车')
    """
    if phrase.isascii():
        return f"{color} {phrase}"
    name = next(word for word in _WORDS[color] if not word.isascii())
    return f"{name.removesuffix('色')}色{phrase}"
