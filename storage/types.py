"""Types shared by ingest, retrieval and records. Imports nothing heavy."""

from __future__ import annotations

import re
from typing import Literal, get_args

Box = tuple[float, float, float, float]
"""Corners (x0, y0, x1, y1), normalized to 0..1 of the upright image; origin top left."""

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]

Level = Literal["asset", "region", "passage"]
"""What one vector stands for."""

PassageKind = Literal[
    "caption",
    "chunk",
    "row",
    "page_text",
    "ocr",
    "subtitle",
    "speech",
    "name",
    "note",
    "field",
    "metadata",
]
PASSAGE_KINDS: tuple[PassageKind, ...] = get_args(PassageKind)
NAME_KINDS = frozenset[PassageKind]({"name", "metadata"})
"""Kinds of passages that consist of names: without vectors, and not counted as content."""

Reading = Literal["text layer", "scan", "garbled", "hidden layer", "figures", "form", "unreadable"]
"""How the text of a page was read, or that it could not be; see the column ``asset.reading``."""

ASSET_ID = re.compile(r"[0-9a-z]{12}")
"""Matches a whole asset id with ``fullmatch``."""
