"""Boxes to draw, written into an address: nothing has to be stored to see them again."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Final

from pydantic import TypeAdapter, ValidationError

from sightline.storage.errors import InvalidArgumentError
from sightline.tools.shared import images
from sightline.tools.shared.drawing import LABEL_CHARS, Marked, Style

#: Shares of the picture; the fourth decimal is under a pixel of what is shown.
_DECIMALS: Final = 4
_MOST_CHARS: Final = 50_000
_WRITTEN: Final = TypeAdapter(tuple[Style, list[tuple[float, float, float, float, str]]])


def address(asset: str, marks: Sequence[Marked], style: Style) -> str | None:
    """The resource that draws ``marks`` on the asset; ``None`` for more than one can hold."""
    boxes = [
        [*(round(value, _DECIMALS) for value in mark.box), mark.label[:LABEL_CHARS]]
        for mark in marks
    ]
    text = json.dumps([style, boxes], ensure_ascii=False, separators=(",", ":"))
    code = base64.urlsafe_b64encode(text.encode()).decode("ascii").rstrip("=")
    return f"sightline://asset/{asset}/drawn/{code}" if len(code) <= _MOST_CHARS else None


def read(code: str) -> tuple[list[Marked], Style]:
    """What `address` wrote. Raises InvalidArgumentError for anything else."""
    try:
        if len(code) > _MOST_CHARS:
            raise ValueError("longer than any that was written")
        text = base64.b64decode(code + "=" * (-len(code) % 4), altchars=b"-_", validate=True)
        style, boxes = _WRITTEN.validate_json(text)
    except (ValueError, ValidationError) as error:
        raise InvalidArgumentError(
            "these are no boxes that annotate_image wrote into an address; ask it again"
        ) from error
    return [Marked(images.parse_crop(list(box[:4])), box[4]) for box in boxes], style
