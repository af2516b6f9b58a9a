"""Encode labeled boxes in a resource URI."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Annotated, Final

from pydantic import Field, TypeAdapter, ValidationError

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.ingest.decode.render.overlays import (
    LABEL_CHARS,
    LEGEND_CHARS,
    BoxOverlay,
    Style,
)
from sightline.tools.shared.images import parse_box
from sightline.tools.shared.tool_results import ASSET_URI

#: What `annotate_image` can draw: 50 given boxes, and 20 for each of 8 phrases.
MAX_OVERLAYS: Final = 210
#: Decimals of a normalized coordinate in a URI: less than one displayed pixel.
_DECIMALS: Final = 4
_MAX_CODE_CHARS: Final = 50_000
_LABEL = Annotated[str, Field(max_length=LABEL_CHARS)]
_LEGEND = Annotated[str, Field(max_length=LEGEND_CHARS)]
_BOX = tuple[float, float, float, float, _LABEL]
_BOX_WITH_LEGEND = tuple[float, float, float, float, _LABEL, _LEGEND]
_CODE: Final = TypeAdapter(
    tuple[
        Style,
        Annotated[
            list[_BOX | _BOX_WITH_LEGEND],
            Field(max_length=MAX_OVERLAYS),
        ],
    ]
)


def overlay_uri(asset: str, code: str) -> str:
    """Return the URI of the asset with the boxes of an `overlay_code`."""
    return f"{ASSET_URI}{asset}/drawn/{code}"


def overlay_code(overlays: Sequence[BoxOverlay], style: Style) -> str | None:
    """Return the boxes as the last part of a URI, None if it is too long."""
    boxes = [
        [
            *(round(value, _DECIMALS) for value in overlay.box),
            overlay.label[:LABEL_CHARS],
            *([overlay.legend[:LEGEND_CHARS]] if overlay.legend else []),
        ]
        for overlay in overlays
    ]
    text = json.dumps([style, boxes], ensure_ascii=False, separators=(",", ":"))
    code = base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")
    return code if len(code) <= _MAX_CODE_CHARS else None


def decode_overlays(code: str) -> tuple[list[BoxOverlay], Style]:
    """Decode the last part of an `overlay_uri`. Raises InvalidArgumentError."""
    try:
        if len(code) > _MAX_CODE_CHARS:
            raise ValueError("too long")
        text = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
        style, boxes = _CODE.validate_json(text)
    except (ValueError, ValidationError) as error:
        raise InvalidArgumentError(
            f"The URI contains no valid boxes, or more than {MAX_OVERLAYS}. Use a `uri` from a "
            "result of annotate_image."
        ) from error
    return [BoxOverlay(parse_box(box[:4]), *box[4:]) for box in boxes], style
