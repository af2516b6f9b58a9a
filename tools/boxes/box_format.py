"""A box in a family's own form: for exports that train a model, and for round trips."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Final

from sightline.tools.boxes.conventions import Convention
from sightline.tools.boxes.geometry import Box, Placement
from sightline.tools.boxes.model_profiles import Profile

_KOSMOS_CELLS: Final = 32
#: What would be read as a notation's own marks.
_MARKS: Final = re.compile(r"[<>\[\](){}\"\s]+")


def write(
    marks: Sequence[tuple[str, Box]],
    profile: Profile,
    placement: Placement,
    *,
    as_json: bool = False,
) -> str:
    """Labels and boxes (shares of the upright original) as a model of ``profile`` writes them.

    A family that points gets each box's middle. With ``as_json`` the families that write numbers
    in brackets get a JSON list of objects. Raises ValueError where the profile has no boxes.
    """
    convention = profile.boxes
    if convention is None:
        raise ValueError(f"the profile {profile.name!r} has no boxes")
    rows = [(label, numbers(box, convention, placement)) for label, box in marks]
    if as_json and convention.notation == "brackets":
        return json.dumps(
            [{convention.key: _plain(row), "label": label} for label, row in rows],
            ensure_ascii=False,
        )
    separator = " ; " if convention.notation == "paligemma" else "\n"
    return separator.join(_written(label, row, convention) for label, row in rows)


def numbers(box: Box, convention: Convention, placement: Placement) -> Box:
    """A box (shares of the upright original) in the numbers of a family, in its order."""
    sent = placement.to_sent(box)
    if convention.points:
        x, y = (sent[0] + sent[2]) / 2, (sent[1] + sent[3]) / 2
        sent = (x, y, x, y)
    written = convention.from_sent(sent, placement.sent)
    if convention.notation in ("paligemma", "florence") and convention.extent is not None:
        # Bins are counted from 0, so that the far edge itself is in the last one.
        last = convention.extent - 1
        a, b, c, d = (min(max(number, 0.0), last) for number in written)
        return a, b, c, d
    return written


def _written(label: str, row: Box, convention: Convention) -> str:
    label = _MARKS.sub(" ", label).strip()
    if convention.notation == "kosmos":
        return convention.template.format(*_cells(row), label=label)
    texts = [f"{value:.{convention.decimals}f}" for value in row]
    return convention.template.format(*texts, label=label)


def _cells(row: Box) -> tuple[int, int]:
    """The indices of the cells in which the corners lie."""
    last = _KOSMOS_CELLS - 1
    x0, y0 = (min(max(math.floor(value), 0), last) for value in row[:2])
    x1, y1 = (min(max(math.ceil(value - 1), 0), last) for value in row[2:])
    return y0 * _KOSMOS_CELLS + x0, y1 * _KOSMOS_CELLS + x1


def _plain(row: Box) -> list[int | float]:
    return [int(value) if value == int(value) else value for value in row]
