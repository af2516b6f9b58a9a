"""Included fonts: subsets of free fonts, for equal text on every machine.

Names: ``sans``, ``bold``, ``condensed``, ``serif``, ``slab``, and ``cjk`` for Chinese. The Latin
fonts contain the characters in ``LATIN``. The Chinese font contains all Chinese characters in the
source code of ``training/world``; run ``subset.py`` after adding a new one.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

from PIL import ImageFont

from sightline.storage.errors import UnknownNameError

FILES: Final = {
    "sans": "OpenSans-Regular.ttf",
    "bold": "OpenSans-Bold.ttf",
    "condensed": "OpenSans-CondBold.ttf",
    "serif": "Caladea-Regular.ttf",
    "slab": "RobotoSlab-Bold.otf",
    "cjk": "NotoSansCJKsc-Bold.otf",
}
LATIN: Final = "".join(map(chr, range(32, 127))) + "°×±÷·€£¥²³–—’“”≈≤≥√"


def is_chinese(text: str) -> bool:
    """Return whether the text needs the Chinese font."""
    return any("⺀" <= c <= "鿿" or "＀" <= c <= "￯" for c in text)


def font_for(text: str, name: str, pixels: int) -> ImageFont.FreeTypeFont:
    """Return a font by name, or the Chinese font if the text needs it."""
    return _face("cjk" if is_chinese(text) else name, max(4, pixels))


@lru_cache(maxsize=512)
def _face(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    if name not in FILES:
        raise UnknownNameError("font", name, FILES)
    # Not every Pillow build has Raqm, and Raqm places glyphs differently.
    path = Path(__file__).parent / FILES[name]
    return ImageFont.truetype(path, pixels, layout_engine=ImageFont.Layout.BASIC)
