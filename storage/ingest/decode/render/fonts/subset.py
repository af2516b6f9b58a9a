"""Create the font subsets.

Usage: ``python -m sightline.storage.ingest.decode.render.fonts.subset DIR``.

DIR is searched recursively for the full fonts (Debian packages fonts-noto-core, fonts-noto-cjk; npm
package @fontsource/noto-emoji). Requires fonttools and brotli.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

from sightline.storage.ingest.decode.render.fonts import FONTS, LabelFont

_SOURCES = {
    LabelFont.CJK: "NotoSansCJK-Bold.ttc",
    LabelFont.LATIN: "NotoSans-Bold.ttf",
    LabelFont.ARABIC: "NotoSansArabic-Bold.ttf",
    LabelFont.HEBREW: "NotoSansHebrew-Bold.ttf",
    LabelFont.THAI: "NotoSansThai-Bold.ttf",
    LabelFont.DEVANAGARI: "NotoSansDevanagari-Bold.ttf",
    LabelFont.EMOJI: "noto-emoji-emoji-700-normal.woff2",
}
# Scripts whose letters change their shape or place beside others.
_SHAPED = (LabelFont.ARABIC, LabelFont.HEBREW, LabelFont.THAI, LabelFont.DEVANAGARI)
_LATIN_RANGES = (
    (0x20, 0x24F),
    (0x370, 0x52F),
    (0x1E00, 0x1EFF),
    (0x2010, 0x2044),
    (0x20A0, 0x20C0),
)
_PUNCTUATION = "".join(map(chr, range(0x20, 0x7F)))


def _encoded(codec: str, first: range, second: range) -> Iterator[str]:
    """Yield the characters of a two-byte encoding."""
    for one in first:
        for two in second:
            try:
                yield bytes((one, two)).decode(codec)
            except UnicodeDecodeError:
                continue


def _characters(font: LabelFont) -> str | None:
    """Return the characters to keep, None for all."""
    if font is LabelFont.CJK:
        latin = "".join(map(chr, range(0x20, 0x100)))
        gb2312 = _encoded("gb2312", range(0xA1, 0xF8), range(0xA1, 0xFF))
        hangul = _encoded("euc_kr", range(0xB0, 0xC9), range(0xA1, 0xFF))
        japanese = _encoded("euc_jp", range(0xA1, 0xD0), range(0xA1, 0xFF))
        traditional = _encoded("big5", range(0xA4, 0xC7), range(0x40, 0xFF))
        return latin + "".join({*gb2312, *hangul, *japanese, *traditional})
    if font is LabelFont.LATIN:
        return "".join(chr(code) for low, high in _LATIN_RANGES for code in range(low, high + 1))
    return None


def _open(folder: Path, name: str) -> TTFont:
    path = next(folder.rglob(name))
    if path.suffix != ".ttc":
        return TTFont(path, recalcTimestamp=False)
    for font in TTCollection(path).fonts:
        if font["name"].getDebugName(6) == "NotoSansCJKsc-Bold":
            font.recalcTimestamp = False
            return font
    raise SystemExit(f"Font NotoSansCJKsc-Bold not found in {name}.")


def main(folder: Path) -> None:
    """Write all subsets next to this file."""
    for kind, name in _SOURCES.items():
        font = _open(folder, name)
        features = ["*"] if kind in _SHAPED else ["kern", "mark", "mkmk"]
        cutter = subset.Subsetter(
            subset.Options(hinting=False, layout_features=features, notdef_outline=True)
        )
        text = _characters(kind)
        if text is None:
            cutter.populate(unicodes=[*font.getBestCmap(), *map(ord, _PUNCTUATION)])
        else:
            cutter.populate(text=text)
        cutter.subset(font)
        font.flavor = None
        target = Path(__file__).with_name(FONTS[kind])
        font.save(target)
        print(f"{target.name}: {target.stat().st_size:,} bytes")  # noqa: T201


if __name__ == "__main__":
    main(Path(sys.argv[1]))
