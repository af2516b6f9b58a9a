"""How to prompt a family of vision-language models, and the format of its boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from sightline.storage.types import Box
from sightline.tools.boxes.geometry import Placement, Size
from sightline.tools.boxes.letterbox import Fit, place

#: ``json``: a general model that answers in the requested format. ``cited``: the built-in model's
#: only format, ``TEXT [n] [x0,y0,x1,y1]``.
AnswerFormat = Literal["json", "cited"]

#: How the numbers of a box are written.
Notation = Literal[
    "brackets",  # [x, y, x, y], (x, y), (x, y), JSON, inside <box> or <|det|>, <box>x y x y</box>
    "paligemma",  # <loc0000> four times, then the label
    "florence",  # the label, then <loc_0> four times
    "kosmos",  # two <patch_index_0000>, cells of a grid
    "molmo",  # <point x="" y="" alt="">
]

_ARTICLES = ("the ", "a ", "an ", "all ")


class TrustedText(str):
    """Our own prompt text, which keeps its special tokens."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class BoxFormat:
    """The meaning of the numbers in a family's boxes.

    The format comes from the profile. It cannot be guessed: ``[10, 20, 60, 80]`` is a valid box in
    five formats.

    extent        number of the far edge of the sent image; None if the numbers are its pixels
    y_first       rows before columns
    decimals      decimals that the family writes
    offset        distance from a bin's number to its center
    key           name of the box in JSON
    points        the family points and draws no boxes
    label_before  the label is in plain text before its box
    template      one box as the family writes it, from ``label`` and four numbers
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
        """Return the numbers of the right and the lower edge of the sent image."""
        if self.extent is None:
            return float(sent[0]), float(sent[1])
        return self.extent, self.extent

    def to_sent(self, numbers: Box, sent: Size) -> Box:
        """Convert numbers in the family's order to pixels of the sent image."""
        a, b, c, d = (number + self.offset for number in numbers)
        x0, y0, x1, y1 = (b, a, d, c) if self.y_first else (a, b, c, d)
        right, bottom = self.extents(sent)
        width, height = sent
        return x0 * width / right, y0 * height / bottom, x1 * width / right, y1 * height / bottom

    def from_sent(self, box: Box, sent: Size) -> Box:
        """Convert pixels of the sent image to the family's rounded numbers."""
        right, bottom = self.extents(sent)
        width, height = sent
        x0, y0, x1, y1 = box
        exact = (x0 * right / width, y0 * bottom / height, x1 * right / width, y1 * bottom / height)
        # Adding 0.0 turns -0.0 into 0.0, which is not written as "-0".
        a, b, c, d = (round(number - self.offset, self.decimals) + 0.0 for number in exact)
        return (b, a, d, c) if self.y_first else (a, b, c, d)

    @property
    def description(self) -> str:
        """Return a clause that tells a model which numbers to write."""
        if self.points:
            return "points as x and y in percent of the picture"
        corners = "[y0, x0, y1, x1]" if self.y_first else "[x0, y0, x1, y1]"
        if self.extent is None:
            return f"boxes as {corners} in pixels of the picture"
        if self.extent == 1:
            return f"boxes as {corners}, decimals from 0 to 1 of the picture's width and height"
        return f"boxes as {corners}, whole numbers from 0 to {self.extent:.0f} across the picture"


@dataclass(frozen=True, slots=True)
class Profile:
    """How to use one family of models.

    name              name in the settings
    model_pattern     regular expression for its model names, in lower case
    fit               how images are resized
    max_images        maximum number of images in one prompt
    box_format        None if the family was not trained on boxes
    locate_template   prompt that asks for the box of a ``{phrase}``
    locate_chinese    the same for a Chinese phrase; empty to use ``locate_template``
    needs_article     an English phrase needs an article: "Where is the white van?"
    multi_phrase      the prompt takes several phrases, joined by ``joiner``
    supports_schema   request a reply that follows a JSON schema
    special_tokens    boxes are special tokens, which servers remove unless told otherwise
    lossless          images are sent as PNG instead of JPEG
    answer_format     format of an answer with citations
    max_found_images, max_found_passages   maximum search results in one prompt
    """

    name: str
    model_pattern: str
    fit: Fit
    max_images: int
    box_format: BoxFormat | None
    locate_template: str = "Where is {phrase}?"
    locate_chinese: str = ""
    needs_article: bool = False
    multi_phrase: bool = False
    joiner: str = ", "
    supports_schema: bool = True
    special_tokens: bool = False
    lossless: bool = False
    answer_format: AnswerFormat = "json"
    max_found_images: int = 4
    max_found_passages: int = 4

    def place(self, size: Size) -> Placement:
        """Return where an upright original lies in the image that this family is sent."""
        return place(self.fit, size)

    def locate_prompt(self, phrases: Sequence[str]) -> tuple[TrustedText | str, ...]:
        """Return a prompt that asks for the boxes of the phrases.

        Raises ValueError for too many phrases, or if the family has no boxes.
        """
        if self.box_format is None:
            raise ValueError(f"The profile {self.name!r} has no boxes.")
        if len(phrases) != 1 and not self.multi_phrase:
            raise ValueError(f"The profile {self.name!r} takes one phrase at a time.")
        text = self.joiner.join(phrases)
        is_chinese = any("\u4e00" <= character <= "\u9fff" for character in text)
        template = (is_chinese and self.locate_chinese) or self.locate_template
        if self.needs_article and not is_chinese and not text.lower().startswith(_ARTICLES):
            text = f"the {text}"
        before, after = template.split("{phrase}")
        return TrustedText(before), text, TrustedText(after)

    @property
    def note(self) -> str | None:
        """Return a remark on the limits of this profile for the caller."""
        if self.box_format is None:
            return (
                f"the model's profile is {self.name!r}, which has no boxes: answers carry none. "
                "Set SIGHTLINE_VLM__PROFILE to the family of the model if it was trained on boxes."
            )
        if self.box_format.points:
            return f"the model's profile is {self.name!r}, which points and draws no boxes."
        return None
