"""Find color names in a text and measure their share of an image.

Light and cameras shift colors, so the HSV ranges are wide and overlap: a color that is present
proves little, a color without any pixel is evidence against a claim.
"""

from __future__ import annotations

import re
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

#: The eleven basic color terms of English (Berlin and Kay, 1969) and their spellings.
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
    "gray": ("gray", "grey", "灰"),
    "black": ("black", "黑"),
}
#: The names of the colors.
COLORS: Final = tuple(_WORDS)
#: Words that contain a color word but do not name a color.
_NOT_COLORS: Final = re.compile(
    r"白天|白菜|明白|黄瓜|黄油|黑板|黑夜|红绿灯|orange juice|oranges?\b(?= (?:fruit|slice))"
)
#: Hue range in degrees, minimum saturation and range of value (0 to 1).
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
_WHITE_MIN_VALUE: Final = 0.55
_BLACK_MAX_VALUE: Final = 0.4
_GRAY_VALUES: Final = (0.12, 0.92)
_GRAY_MAX_SATURATION: Final = 0.3
_MAX_EDGE_PIXELS: Final = 96
#: A color with a smaller share of the pixels is absent: JPEG artifacts produce some of any color.
_MIN_SHARE: Final = 0.004


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


def absent_colors(names: set[str], image: Image.Image) -> set[str]:
    """Return the named colors that no part of the RGB image has."""
    shares = color_shares(image)
    return {name for name in names if shares[name] < _MIN_SHARE}


def color_shares(image: Image.Image) -> dict[str, float]:
    """Return the share of pixels (0 to 1) of each color. Colors overlap."""
    small = image.convert("RGB")
    # Nearest pixel: the mean of red and green lines would be brown.
    small.thumbnail((_MAX_EDGE_PIXELS, _MAX_EDGE_PIXELS), Image.Resampling.NEAREST)
    hsv = np.asarray(small.convert("HSV"), dtype=np.float32)
    hue, saturation, value = hsv[..., 0] * (360 / 255), hsv[..., 1] / 255, hsv[..., 2] / 255
    is_gray = saturation <= _GRAY_MAX_SATURATION
    masks: dict[str, NDArray[np.bool_]] = {
        "white": is_gray & (value >= _WHITE_MIN_VALUE),
        "gray": is_gray & (value >= _GRAY_VALUES[0]) & (value <= _GRAY_VALUES[1]),
        "black": value <= _BLACK_MAX_VALUE,
    }
    for name, ((start, end), min_saturation, (min_value, max_value)) in _CHROMATIC.items():
        within = (hue >= start) & (hue <= end) if start < end else (hue >= start) | (hue <= end)
        bright = (value >= min_value) & (value <= max_value)
        masks[name] = within & (saturation >= min_saturation) & bright
    return {name: float(mask.mean()) for name, mask in masks.items()}
