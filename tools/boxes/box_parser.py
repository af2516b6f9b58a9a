"""Parse the boxes in a model's reply by the box format of its profile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

from sightline.storage.types import Box
from sightline.tools.boxes.geometry import Placement, area, clip, sort_corners, to_pixels
from sightline.tools.boxes.model_profiles import BoxFormat, Profile
from sightline.tools.boxes.notations import LabeledNumbers, parse_notation
from sightline.tools.boxes.tolerant_json import MAX_CHARS

#: ``found``: as the family writes them. ``repaired``: found after the repairs in ``notes``.
#: ``absent``: the model says that it is not there. ``unreadable``: no valid box in the text.
#: ``unsupported``: the profile has no boxes.
BoxStatus = Literal["found", "repaired", "absent", "unreadable", "unsupported"]

#: A number this far outside the image, as a share of its side, is clipped to the edge.
_TOLERANCE: Final = 0.05
_MAX_BOXES: Final = 100
#: Minimum width and height of a normalized box.
_MIN_SIDE: Final = 1e-6

#: What models write instead of a box, in lower case without punctuation.
_ABSENT: Final = re.compile(
    "null|none|not (?:there|shown|visible|found|present)|nothing|there (?:is|are) none|"
    "no such object|图中没有|没有|无"
)
_PUNCTUATION: Final = " \t\r\n`'\"“”.,。，!！:："


@dataclass(frozen=True, slots=True)
class ParsedBox:
    """A box or point in a reply.

    ``box`` is normalized; the corners of a point are equal. ``pixels`` are whole pixels of the
    upright original, right and lower edge exclusive.
    """

    label: str
    box: Box
    pixels: tuple[int, int, int, int]
    is_point: bool = False


@dataclass(frozen=True, slots=True)
class BoxParseResult:
    """The boxes in a reply, with the raw text.

    ``absent`` are labels that the model said are not there. ``notes`` name every repair and
    omission.
    """

    status: BoxStatus
    boxes: tuple[ParsedBox, ...]
    raw: str
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parse_boxes(text: str, profile: Profile, placement: Placement) -> BoxParseResult:
    """Parse the boxes in a reply about an image that was sent with ``placement``.

    Never raises. The time is linear in the length of the text, up to `tolerant_json.MAX_CHARS`.
    """
    box_format = profile.box_format
    if box_format is None:
        return BoxParseResult("unsupported", (), text, notes=(profile.note or "",))
    parsed = parse_notation(text, box_format)
    notes: list[str] = []
    if len(text) > MAX_CHARS:
        notes.append(f"only the first {MAX_CHARS:,} characters were read")
    if parsed.truncated:
        notes.append("the answer ends inside a list; what was cut off is left out")
    boxes: list[ParsedBox] = []
    absent: list[str] = []
    for item in parsed.items:
        if item.numbers is None:
            absent.append(item.label)
        elif len(boxes) == _MAX_BOXES:
            notes.append(f"only the first {_MAX_BOXES} boxes were read")
            break
        else:
            box = _to_box(item, item.numbers, box_format, placement, notes)
            if box is not None:
                boxes.append(box)
    notes = list(dict.fromkeys(notes))
    if boxes:
        status: BoxStatus = "repaired" if notes else "found"
    elif absent or parsed.is_empty or _ABSENT.fullmatch(text.strip(_PUNCTUATION).lower()):
        status = "absent"
    else:
        status = "unreadable"
    return BoxParseResult(status, tuple(boxes), text, tuple(dict.fromkeys(absent)), tuple(notes))


def _to_box(
    item: LabeledNumbers,
    numbers: Box,
    box_format: BoxFormat,
    placement: Placement,
    notes: list[str],
) -> ParsedBox | None:
    """Convert the numbers to a box, or add a note why they are none."""
    if item.named_corners and box_format.y_first:
        x0, y0, x1, y1 = numbers
        numbers = y0, x0, y1, x1
    sent = box_format.to_sent(numbers, placement.sent)
    width, height = placement.sent
    x0, y0, x1, y1 = sort_corners(sent)
    low, high = min(x0 / width, y0 / height), max(x1 / width, y1 / height)
    text = "[" + ", ".join(f"{number:g}" for number in numbers) + "]"
    if low < -_TOLERANCE or high > 1 + _TOLERANCE:
        notes.append(f"{text} is outside the image ({box_format.description}) and is left out")
        return None
    if sort_corners(sent) != sent:
        notes.append(f"the corners of {text} were in the wrong order")
    if low < 0 or high > 1:
        notes.append(f"{text} was clipped to the image")
    original = placement.to_original(sort_corners(sent))
    box = clip(original)
    pixels = to_pixels(box, placement.original)
    if box_format.points:
        return ParsedBox(item.label, box, pixels, is_point=True)
    if box[2] - box[0] < _MIN_SIDE or box[3] - box[1] < _MIN_SIDE:
        reason = "is empty" if area(original) <= 0 else "is in the padding beside the image"
        notes.append(f"{text} {reason} and is left out")
        return None
    return ParsedBox(item.label, box, pixels)
