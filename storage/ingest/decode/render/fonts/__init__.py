"""The fonts of labels: subsets of Noto Sans and Noto Emoji (OFL-1.1)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from enum import Enum
from importlib.resources import as_file, files
from pathlib import Path


class LabelFont(Enum):
    """Fonts by the scripts they have."""

    CJK = "Chinese, Japanese, Korean, and Latin of the same look"
    LATIN = "Latin, Greek, Cyrillic"
    ARABIC = "Arabic"
    HEBREW = "Hebrew"
    THAI = "Thai"
    DEVANAGARI = "Devanagari"
    EMOJI = "emoji"


FONTS = {
    LabelFont.CJK: "NotoSansCJKsc-Bold.otf",
    LabelFont.LATIN: "NotoSans-Bold.ttf",
    LabelFont.ARABIC: "NotoSansArabic-Bold.ttf",
    LabelFont.HEBREW: "NotoSansHebrew-Bold.ttf",
    LabelFont.THAI: "NotoSansThai-Bold.ttf",
    LabelFont.DEVANAGARI: "NotoSansDevanagari-Bold.ttf",
    LabelFont.EMOJI: "NotoEmoji-Bold.ttf",
}
#: First and last code point of blocks; other characters are in the font of Chinese and Latin.
_BLOCKS = (
    (0x0100, 0x024F, LabelFont.LATIN),
    (0x0370, 0x052F, LabelFont.LATIN),
    (0x0590, 0x05FF, LabelFont.HEBREW),
    (0x0600, 0x06FF, LabelFont.ARABIC),
    (0x0750, 0x077F, LabelFont.ARABIC),
    (0x08A0, 0x08FF, LabelFont.ARABIC),
    (0x0900, 0x097F, LabelFont.DEVANAGARI),
    (0x0E00, 0x0E7F, LabelFont.THAI),
    (0x1E00, 0x1EFF, LabelFont.LATIN),
    (0x20A0, 0x20C0, LabelFont.LATIN),
    (0x2600, 0x27BF, LabelFont.EMOJI),
    (0xFB1D, 0xFB4F, LabelFont.HEBREW),
    (0xFB50, 0xFDFF, LabelFont.ARABIC),
    (0xFE70, 0xFEFC, LabelFont.ARABIC),
    (0x1F000, 0x1FAFF, LabelFont.EMOJI),
)


def label_font(font: LabelFont = LabelFont.CJK) -> AbstractContextManager[Path]:
    """Return the path of a font, valid inside the block."""
    return as_file(files("sightline.storage.ingest.decode.render.fonts").joinpath(FONTS[font]))


def font_of(character: str) -> LabelFont:
    """Return the font that has a character, if any has it."""
    code = ord(character)
    for first, last, font in _BLOCKS:
        if first <= code <= last:
            return font
    return LabelFont.CJK
