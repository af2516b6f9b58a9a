"""The font of labels: Noto Sans CJK SC, Latin and GB 2312 only (OFL-1.1)."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.resources import as_file, files
from pathlib import Path


def label_font() -> AbstractContextManager[Path]:
    """Return the path of the font, valid inside the block."""
    return as_file(
        files("sightline.storage.ingest.decode.render.fonts").joinpath("NotoSansCJKsc-Bold.otf")
    )
