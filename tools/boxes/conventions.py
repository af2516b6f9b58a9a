"""The numbers in which a family of models writes boxes.

A convention comes from the model's profile and is never guessed from the numbers:
``[10, 20, 60, 80]`` is a valid box in five of them and means five different places.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sightline.tools.boxes.geometry import Box, Size

#: How the numbers stand in the text.
Notation = Literal[
    # [x, y, x, y], (x, y), (x, y), JSON, or inside <box> or <|det|>: all read for each of them
    "brackets",
    "paligemma",  # <loc0000> four times, then the label
    "florence",  # the label, then <loc_0> four times
    "kosmos",  # two <patch_index_0000>, cells of a grid
    "molmo",  # <point x="" y="" alt="">
]


@dataclass(frozen=True, slots=True)
class Convention:
    """What a family's numbers mean.

    ``extent`` is the number that stands for the far edge of the sent picture, ``None`` where the
    numbers are its pixels. ``offset`` is what a bin's number lacks to its middle. ``y_first`` puts
    rows before columns. ``decimals`` is what the family writes. ``key`` names the box in JSON.
    ``points`` marks families that point instead of drawing boxes. ``label_before`` marks those that
    write a label and its box side by side in plain text. ``template`` is one box as the family
    writes it, of ``label`` and four numbers.
    """

    notation: Notation = "brackets"
    extent: float | None = 1.0
    y_first: bool = False
    decimals: int = 0
    offset: float = 0.0
    key: str = "bbox_2d"
    points: bool = False
    label_before: bool = False
    template: str = "[{0},{1},{2},{3}]"

    def extents(self, sent: Size) -> tuple[float, float]:
        """The numbers of the right and the lower edge of a sent picture."""
        if self.extent is None:
            return float(sent[0]), float(sent[1])
        return self.extent, self.extent

    def to_sent(self, numbers: Box, sent: Size) -> Box:
        """Four numbers, in the family's order, to pixels of the sent picture."""
        a, b, c, d = (number + self.offset for number in numbers)
        x0, y0, x1, y1 = (b, a, d, c) if self.y_first else (a, b, c, d)
        across, down = self.extents(sent)
        width, height = sent
        return x0 * width / across, y0 * height / down, x1 * width / across, y1 * height / down

    def from_sent(self, box: Box, sent: Size) -> Box:
        """The inverse of `to_sent`, rounded to what the family can write."""
        across, down = self.extents(sent)
        width, height = sent
        x0, y0, x1, y1 = box
        exact = (x0 * across / width, y0 * down / height, x1 * across / width, y1 * down / height)
        # Adding 0.0 turns -0.0, which would be written "-0", into 0.0.
        a, b, c, d = (round(number - self.offset, self.decimals) + 0.0 for number in exact)
        return (b, a, d, c) if self.y_first else (a, b, c, d)

    @property
    def wording(self) -> str:
        """One clause that tells a model which numbers to write."""
        if self.points:
            return "points as x and y in percent of the picture"
        corners = "[y0, x0, y1, x1]" if self.y_first else "[x0, y0, x1, y1]"
        if self.extent is None:
            return f"boxes as {corners} in pixels of the picture"
        if self.extent == 1:
            return f"boxes as {corners}, decimals from 0 to 1 of the picture's width and height"
        return f"boxes as {corners}, whole numbers from 0 to {self.extent:.0f} across the picture"
