"""Render the map of a collection as one HTML page.

The data is a JSON block, and the script only creates text nodes from it. The
Content-Security-Policy permits exactly this script and this stylesheet.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from io import BytesIO

from PIL import Image

from sightline.server.reports import templating
from sightline.storage.analytics.atlas_data import CollectionMap, MapColumn
from sightline.storage.text.hidden_characters import remove_hidden

_GRID_STEPS = 65_535
_THUMBNAIL_EDGE_PIXELS = 112
_WEBP_QUALITY = 60
_MAX_CAPTION_CHARS = 300
_METHODS = {
    "umap": "UMAP: near points are similar, long distances mean little",
    "pca": "PCA: the two main axes of the vectors",
}


def render(map_: CollectionMap, thumbnails: Mapping[str, str], *, created_at: datetime) -> str:
    """Return the HTML page; ``thumbnails`` are results of `shrink` by asset id."""
    style, script = templating.load_static("atlas.css"), templating.load_static("atlas.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src {templating.csp_hash(style)}; "
        f"script-src {templating.csp_hash(script)}; base-uri 'none'; form-action 'none'"
    )
    count = f"{len(map_.ids):,}"
    if map_.total > len(map_.ids):
        count += f" of {map_.total:,}"
    return templating.render(
        "atlas.html",
        policy=policy,
        style=style,
        script=script,
        collection=map_.collection,
        count=count,
        method=_METHODS[map_.method],
        encoder=map_.encoder,
        created=created_at.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        data=_data(map_, thumbnails),
    )


def shrink(jpeg: bytes) -> str:
    """Convert a thumbnail to a small WebP image (about 2 kB) in base64."""
    with Image.open(BytesIO(jpeg)) as image:
        image.draft("RGB", (_THUMBNAIL_EDGE_PIXELS, _THUMBNAIL_EDGE_PIXELS))
        small = image.convert("RGB")
    small.thumbnail((_THUMBNAIL_EDGE_PIXELS, _THUMBNAIL_EDGE_PIXELS))
    file = BytesIO()
    small.save(file, "WEBP", quality=_WEBP_QUALITY, method=4)
    return base64.b64encode(file.getvalue()).decode()


def _data(map_: CollectionMap, thumbnails: Mapping[str, str]) -> dict[str, object]:
    points = (map_.points.clip(0, 1) * _GRID_STEPS).round().astype(int)
    return {
        "grid": _GRID_STEPS,
        "x": points[:, 0].tolist(),
        "y": points[:, 1].tolist(),
        "ids": list(map_.ids),
        "titles": [remove_hidden(each) for each in map_.titles],
        "captions": [
            None if each is None else remove_hidden(each)[:_MAX_CAPTION_CHARS]
            for each in map_.captions
        ],
        "thumbnails": [thumbnails.get(each) for each in map_.ids],
        "columns": [_column(each) for each in map_.columns],
    }


def _column(column: MapColumn) -> dict[str, object]:
    """Encode categories as indexes into a list of names, the most frequent first."""
    title = remove_hidden(column.name)
    if column.scale:
        return {"name": title, "times": column.times, "numbers": list(column.values)}
    counts = Counter(value for value in column.values if isinstance(value, str))
    names = sorted(counts, key=lambda name: (-counts[name], name))
    codes = {name: code for code, name in enumerate(names)}
    return {
        "name": title,
        "names": [remove_hidden(name) for name in names],
        "counts": [counts[name] for name in names],
        "codes": [None if value is None else codes[str(value)] for value in column.values],
    }
