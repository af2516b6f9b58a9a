"""The map as one self-contained HTML file: nothing is fetched, and nothing of the data is markup.

Data stands in a JSON block that no text can close, the script makes text nodes of it alone, and the
page's own policy lets the browser run that script and no other.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.resources import files
from io import BytesIO

from PIL import Image

from sightline.storage.analytics.atlas_data import Column, Map

_MARK = re.compile(r"%(\w+)%")
_GRID = 65_535
_EDGE_PIXELS = 112
_QUALITY = 60
_CAPTION_CHARS = 300
_METHODS = {
    "umap": "UMAP: near is alike, far says little",
    "pca": "PCA: the two main axes of the vectors",
}


def render(map_: Map, thumbnails: Mapping[str, str], *, made_at: datetime) -> str:
    """The page; ``thumbnails`` are those of `shrink` by asset id."""
    style, script = _asset("atlas.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {_hash(style)}; script-src {_hash(script)}; "
        "base-uri 'none'; form-action 'none'"
    )
    shown = f"{len(map_.ids):,} pictures"
    if map_.total > len(map_.ids):
        shown = f"{len(map_.ids):,} of {map_.total:,} pictures"
    parts = {
        "policy": html.escape(policy),
        "style": style,
        "script": script,
        "title": html.escape(map_.collection),
        "shown": html.escape(shown),
        "method": html.escape(_METHODS[map_.method]),
        "encoder": html.escape(map_.encoder),
        "made": made_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "data": _json(_data(map_, thumbnails)),
    }
    # At once: what a part says is no mark, whatever it says.
    return _MARK.sub(lambda mark: parts[mark[1]], _asset("atlas.html"))


def shrink(jpeg: bytes) -> str:
    """A thumbnail as a small WebP in base64, about 2 kB."""
    with Image.open(BytesIO(jpeg)) as image:
        image.draft("RGB", (_EDGE_PIXELS, _EDGE_PIXELS))
        small = image.convert("RGB")
    small.thumbnail((_EDGE_PIXELS, _EDGE_PIXELS))
    file = BytesIO()
    small.save(file, "WEBP", quality=_QUALITY, method=4)
    return base64.b64encode(file.getvalue()).decode()


def _data(map_: Map, thumbnails: Mapping[str, str]) -> dict[str, object]:
    places = (map_.points.clip(0, 1) * _GRID).round().astype(int)
    return {
        "grid": _GRID,
        "x": places[:, 0].tolist(),
        "y": places[:, 1].tolist(),
        "ids": list(map_.ids),
        "titles": list(map_.titles),
        "captions": [None if each is None else each[:_CAPTION_CHARS] for each in map_.captions],
        "thumbnails": [thumbnails.get(each) for each in map_.ids],
        "columns": [_column(each) for each in map_.columns],
    }


def _column(column: Column) -> dict[str, object]:
    """Of categories each name once, the commonest first, and for each point which it is."""
    if column.scale:
        return {"name": column.name, "times": column.times, "numbers": list(column.values)}
    counts: dict[str, int] = {}
    for value in column.values:
        if isinstance(value, str):
            counts[value] = counts.get(value, 0) + 1
    names = sorted(counts, key=lambda name: (-counts[name], name))
    place = {name: number for number, name in enumerate(names)}
    return {
        "name": column.name,
        "names": names,
        "counts": [counts[name] for name in names],
        "codes": [None if value is None else place[str(value)] for value in column.values],
    }


def _json(value: object) -> str:
    """JSON that ends no script element and opens no comment, whatever it says."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _asset(name: str) -> str:
    return files("sightline.server.reports").joinpath("templates", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
