"""Whether the colours that a claim names are in the pixels that it points at.

One-sided on purpose. Light, shadow and cameras move colours far, so each name takes a wide part of
the colour solid and names overlap; that a colour is there proves little. That no pixel at all is
of it does prove something.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: The eleven basic colour terms of English (Berlin and Kay, 1969), and how each is written.
_WORDS: Final = {
    "red": ("red", "红"),
    "orange": ("orange", "橙", "橘"),
    "yellow": ("yellow", "黄"),
    "green": ("green", "绿"),
    "blue": ("blue", "蓝"),
    "purple": ("purple", "violet", "紫"),
    "pink": ("pink", "粉色", "粉红"),
    "brown": ("brown", "棕", "褐", "咖啡色"),
    "white": ("white", "白"),
    "grey": ("grey", "gray", "灰"),
    "black": ("black", "黑"),
}
#: Nouns that hold a colour's character or word and name no colour.
_OTHER_WORDS: Final = re.compile(
    r"白天|白菜|明白|黄瓜|黄油|黑板|黑夜|红绿灯|orange juice|oranges?\b(?= (?:fruit|slice))"
)
#: Hues in degrees, least saturation and range of value, each 0 to 1, wide and overlapping.
_CHROMATIC: Final = {
    "red": ((335, 25), 0.25, (0.2, 1.0)),
    "orange": ((8, 50), 0.3, (0.3, 1.0)),
    "yellow": ((35, 75), 0.2, (0.35, 1.0)),
    "green": ((65, 185), 0.12, (0.12, 1.0)),
    "blue": ((165, 265), 0.12, (0.12, 1.0)),
    "purple": ((235, 330), 0.1, (0.12, 1.0)),
    "pink": ((285, 20), 0.08, (0.45, 1.0)),
    "brown": ((0, 55), 0.15, (0.1, 0.85)),
}
_WHITE_LEAST: Final = 0.55
_BLACK_MOST: Final = 0.4
_GREY: Final = (0.12, 0.92)
_GREYISH: Final = 0.3
_EDGE_PIXELS: Final = 96
#: Under this share of the pixels, a colour is not there: JPEG alone makes some of any.
_ABSENT_SHARE: Final = 0.004


def named(text: str) -> set[str]:
    """The basic colours that a text names."""
    flat = _OTHER_WORDS.sub(" ", text.casefold())
    return {
        name
        for name, words in _WORDS.items()
        if any(
            re.search(rf"\b{word}(?:d?ish)?\b", flat) if word.isascii() else word in flat
            for word in words
        )
    }


def absent(names: set[str], image: Image.Image) -> set[str]:
    """Those of the colours that no part of an upright RGB picture or crop is of."""
    found = shares(image)
    return {name for name in names if found[name] < _ABSENT_SHARE}


def shares(image: Image.Image) -> dict[str, float]:
    """How much of the picture is of each colour, 0 to 1; names overlap, so the sum may pass 1."""
    small = image.convert("RGB")
    # The nearest pixel, not a mean: a mean of red and green lines is brown.
    small.thumbnail((_EDGE_PIXELS, _EDGE_PIXELS), Image.Resampling.NEAREST)
    hsv = np.asarray(small.convert("HSV"), dtype=np.float32)
    hue, saturation, value = hsv[..., 0] * (360 / 255), hsv[..., 1] / 255, hsv[..., 2] / 255
    greyish = saturation <= _GREYISH
    found: dict[str, NDArray[np.bool_]] = {
        "white": greyish & (value >= _WHITE_LEAST),
        "grey": greyish & (value >= _GREY[0]) & (value <= _GREY[1]),
        "black": value <= _BLACK_MOST,
    }
    for name, ((start, end), least, (darkest, lightest)) in _CHROMATIC.items():
        within = (hue >= start) & (hue <= end) if start < end else (hue >= start) | (hue <= end)
        lit = (value >= darkest) & (value <= lightest)
        found[name] = within & (saturation >= least) & lit
    return {name: float(mask.mean()) for name, mask in found.items()}
