"""Write boxes in the format of a model family, for training data and round trips."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Final

from sightline.storage.types import Box
from sightline.tools.boxes.geometry import Placement
from sightline.tools.boxes.model_profiles import BoxFormat, Profile

_KOSMOS_CELLS: Final = 32
#: Characters with a meaning in some notation.
_RESERVED: Final = re.compile(r"[<>\[\](){}\"\s]+")


def format_boxes(
    labeled_boxes: Sequence[tuple[str, Box]],
    profile: Profile,
    placement: Placement,
    *,
    as_json: bool = False,
) -> str:
    """Write labels and normalized boxes as a model of the profile does.

    A family that points gets the center of each box. With ``as_json``, families that write numbers
    in brackets get a JSON list. Raises ValueError if the profile has no boxes.
    """
    box_format = profile.box_format
    if box_format is None:
        raise ValueError(f"The profile {profile.name!r} has no boxes.")
    rows = [(label, to_numbers(box, box_format, placement)) for label, box in labeled_boxes]
    if as_json and box_format.notation == "brackets":
        return json.dumps(
            [{box_format.key: _without_point_zero(row), "label": label} for label, row in rows],
            ensure_ascii=False,
        )
    separator = " ; " if box_format.notation == "paligemma" else "\n"
    return separator.join(_format(label, row, box_format) for label, row in rows)


def to_numbers(box: Box, box_format: BoxFormat, placement: Placement) -> Box:
    """Convert a normalized box to the numbers of a family, in its order."""
    sent = placement.to_sent(box)
    if box_format.points:
        x, y = (sent[0] + sent[2]) / 2, (sent[1] + sent[3]) / 2
        sent = (x, y, x, y)
    numbers = box_format.from_sent(sent, placement.sent)
    if box_format.notation in ("paligemma", "florence") and box_format.extent is not None:
        # Bins are counted from 0, so the far edge is in the last one.
        last = box_format.extent - 1
        a, b, c, d = (min(max(number, 0.0), last) for number in numbers)
        return a, b, c, d
    return numbers


def _format(label: str, row: Box, box_format: BoxFormat) -> str:
    label = _RESERVED.sub(" ", label).strip()
    if box_format.notation == "kosmos":
        return box_format.template.format(*_kosmos_cells(row), label=label)
    texts = [f"{value:.{box_format.decimals}f}" for value in row]
    return box_format.template.format(*texts, label=label)


def _kosmos_cells(row: Box) -> tuple[int, int]:
    """Return the indices of the cells that contain the corners."""
    last = _KOSMOS_CELLS - 1
    x0, y0 = (min(max(math.floor(value), 0), last) for value in row[:2])
    x1, y1 = (min(max(math.ceil(value - 1), 0), last) for value in row[2:])
    return y0 * _KOSMOS_CELLS + x0, y1 * _KOSMOS_CELLS + x1


def _without_point_zero(row: Box) -> list[int | float]:
    return [int(value) if value == int(value) else value for value in row]
