"""Boxes to draw on an image, and how. Imports nothing heavy."""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from sightline.storage.types import Box

Style = Literal["box", "corners", "shade"]

#: Longer labels are cut.
LABEL_CHARS: Final = 60
#: Longer texts of the legend are cut.
LEGEND_CHARS: Final = 300


class BoxOverlay(NamedTuple):
    """A normalized box to draw, with its label.

    ``legend`` is a longer text for it, which is written below the image.
    """

    box: Box
    label: str
    legend: str = ""
