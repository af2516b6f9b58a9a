"""Write contact sheets: ``python -m sightline.training.world.contact_sheet``."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from sightline.training.world.core.scene import Split
from sightline.training.world.core.splits import seed_of
from sightline.training.world.families import FAMILIES, draw

CELL = (256, 208)
COLUMNS, ROWS = 5, 4
MAX_BYTES = 245_000


def sheet(family: str, split: Split = "test", first: int = 0) -> Image.Image:
    """Draw twenty images of a family, starting at number ``first``."""
    page = Image.new("RGB", (CELL[0] * COLUMNS, CELL[1] * ROWS), (255, 255, 255))
    for i in range(COLUMNS * ROWS):
        thumbnail = draw(family, seed_of(split, first + i), split).image
        thumbnail.thumbnail((CELL[0] - 6, CELL[1] - 6), Image.Resampling.LANCZOS)
        left = (i % COLUMNS) * CELL[0] + (CELL[0] - thumbnail.width) // 2
        top = (i // COLUMNS) * CELL[1] + (CELL[1] - thumbnail.height) // 2
        page.paste(thumbnail, (left, top))
    return page


def main(argv: Sequence[str] | None = None) -> None:
    """Write a contact sheet for each named family (default: all)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*", default=sorted(FAMILIES))
    parser.add_argument("--out", type=Path, default=Path("docs/images/world"))
    parser.add_argument("--first", type=int, default=0)
    args = parser.parse_args(argv)
    args.out.mkdir(parents=True, exist_ok=True)
    for family in args.families:
        page = sheet(family, first=args.first)
        for quality in range(88, 30, -6):
            buffer = io.BytesIO()
            page.save(buffer, "JPEG", quality=quality, optimize=True)
            if buffer.tell() <= MAX_BYTES:
                break
        path = args.out / f"{family}.jpg"
        path.write_bytes(buffer.getvalue())
        sys.stdout.write(f"{path}: {buffer.tell()} bytes\n")


if __name__ == "__main__":
    main()
