"""Measure the share of an image that each color has.

Light and cameras shift colors, so the HSV ranges are wide and overlap: a color that is present
proves little, a color without any pixel is evidence against a claim.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

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
