"""Create the font subsets.

Usage: ``python -m sightline.training.world.fonts.subset DIR``.

DIR is searched recursively for the full fonts (Debian packages: fonts-open-sans,
fonts-crosextra-caladea, fonts-roboto-slab, fonts-noto-cjk). Requires fonttools.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset
from fontTools.ttLib import TTCollection, TTFont

from sightline.training.world.fonts import FILES, LATIN, is_chinese

HERE = Path(__file__).parent


def used_characters() -> str:
    """Return all Chinese characters in the source code of the world."""
    sources = sorted(path for path in HERE.parent.rglob("*.py") if path.parent != HERE)
    text = "".join(path.read_text(encoding="utf-8") for path in sources)
    return "".join(sorted({c for c in text if is_chinese(c)}))


def _open(folder: Path, name: str) -> TTFont:
    if name != FILES["cjk"]:
        return TTFont(next(folder.rglob(name)), recalcTimestamp=False)
    collection = TTCollection(next(folder.rglob("NotoSansCJK-Bold.ttc")))
    for font in collection.fonts:
        if font["name"].getDebugName(6) == "NotoSansCJKsc-Bold":
            font.recalcTimestamp = False
            return font
    raise SystemExit("Font NotoSansCJKsc-Bold not found in NotoSansCJK-Bold.ttc.")


def main(folder: Path) -> None:
    """Write all subsets next to this file."""
    for kind, name in FILES.items():
        options = subset.Options(hinting=False, layout_features=["kern"], notdef_outline=True)
        cutter = subset.Subsetter(options)
        cutter.populate(text=LATIN + (used_characters() if kind == "cjk" else ""))
        font = _open(folder, name)
        cutter.subset(font)
        font.save(HERE / name)
        print(f"{name}: {(HERE / name).stat().st_size} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
