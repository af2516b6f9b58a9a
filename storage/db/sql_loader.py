"""SQL lives in ``.sql`` files as named, commented blocks; this reads them.

A block starts at ``-- name: fetch_asset`` and runs to the next name. Comment lines right below
the name say what the block is for.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


@cache
def load(module: str) -> dict[str, LiteralString]:
    """All blocks of ``storage/sql/<module>.sql`` by name.

    The text is ours and fixed, which is what ``LiteralString`` promises to psycopg.
    """
    text = files("sightline.storage").joinpath("sql", f"{module}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {
        name: cast("LiteralString", body.strip())
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
