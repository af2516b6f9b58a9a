"""Loads SQL statements from ``.sql`` files with named blocks.

A block starts at ``-- name: fetch_asset`` and ends at the next name. Comments below the name
explain it.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)[ \t]*$", re.MULTILINE)


@cache
def load(module: str) -> dict[str, LiteralString]:
    """Return the blocks of ``storage/sql/<module>.sql`` by name.

    The text is fixed in the package, as ``LiteralString`` promises to psycopg.
    """
    text = files("sightline.storage").joinpath("sql", f"{module}.sql").read_text(encoding="utf-8")
    parts = _NAME.split(text)[1:]
    return {
        name: cast("LiteralString", body.strip())
        for name, body in zip(parts[::2], parts[1::2], strict=True)
    }
