"""The shipped fonts: subsets of free fonts, so that text looks the same on every machine.

Names: ``sans``, ``bold``, ``condensed``, ``serif``, ``slab``, and ``cjk`` for Chinese. The Latin
fonts hold ASCII and a few signs (``LATIN``); the Chinese one holds every Chinese character that
stands in the world's own source, so after drawing a new one, run ``subset.py``.
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
    """Whether the text needs the Chinese font."""
    return any("⺀" <= c <= "鿿" or "＀" <= c <= "￯" for c in text)


def font_for(text: str, name: str, pixels: int) -> ImageFont.FreeTypeFont:
    """The font called ``name`` at a size in pixels, or the Chinese one where the text needs it."""
    return _face("cjk" if is_chinese(text) else name, max(4, pixels))


@lru_cache(maxsize=512)
def _face(name: str, pixels: int) -> ImageFont.FreeTypeFont:
    if name not in FILES:
        raise UnknownNameError("font", name, FILES)
    # The basic layout is in every build of Pillow; Raqm is not, and places glyphs differently.
    path = Path(__file__).parent / FILES[name]
    return ImageFont.truetype(path, pixels, layout_engine=ImageFont.Layout.BASIC)
