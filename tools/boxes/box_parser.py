"""Boxes out of a model's answer: one reader, the convention from the profile, nothing guessed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from sightline.tools.boxes.conventions import Convention
from sightline.tools.boxes.geometry import (
    Box,
    Placement,
    area,
    clipped,
    in_pixels,
    ordered,
)
from sightline.tools.boxes.model_profiles import Profile
from sightline.tools.boxes.notations import Group, groups
from sightline.tools.boxes.tolerant_json import MOST_CHARS

#: ``found``: as the family writes them. ``repaired``: found after the repairs in ``notes``.
#: ``absent``: the model says that it is not there. ``unreadable``: no box in the text, or none that
#: its convention allows. ``unsupported``: the profile has no boxes.
Status = Literal["found", "repaired", "absent", "unreadable", "unsupported"]

#: How far beyond the picture, as a share of its side, a number may lie and be cut to its edge.
_SLIGHTLY: Final = 0.05
_MOST_MARKS: Final = 100
#: Boxes thinner than this share of a side are no places.
_THINNEST: Final = 1e-6

#: What models write instead of a box, without punctuation, in lower case.
_ABSENT: Final = frozenset(
    {
        "null",
        "none",
        "not there",
        "not shown",
        "not visible",
        "not found",
        "not present",
        "nothing",
        "there is none",
        "there are none",
        "no such object",
        "图中没有",
        "没有",
        "无",
    }
)
_PUNCTUATION: Final = " \t\r\n`'\"“”.,。，!！:："


@dataclass(frozen=True, slots=True)
class Mark:
    """A place that a model named.

    ``box`` is in shares of the upright original; for a point its corners are equal.
    ``pixels`` is the same in whole pixels of the upright original, right and lower edge exclusive.
    """

    label: str
    box: Box
    pixels: tuple[int, int, int, int]
    is_point: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What was read of an answer, with the answer itself for the record.

    ``absent`` are labels that the model said are not there; ``notes`` is what was repaired or left
    out, in words.
    """

    status: Status
    marks: tuple[Mark, ...]
    raw: str
    absent: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()


def parse(text: str, profile: Profile, placement: Placement) -> Found:
    """Read the boxes in ``text``, which a model of ``profile`` wrote about a picture sent so.

    Never raises, whatever the text; its time is in proportion to the text's length, up to
    ``lenient.MOST_CHARS`` characters.
    """
    convention = profile.boxes
    if convention is None:
        return Found("unsupported", (), text, notes=(profile.note or "",))
    read = groups(text, convention)
    notes: list[str] = []
    if len(text) > MOST_CHARS:
        notes.append(f"only the first {MOST_CHARS:,} characters were read")
    if read.truncated:
        notes.append("the answer ends inside a list; what was cut off is left out")
    marks: list[Mark] = []
    absent: list[str] = []
    for group in read.found:
        if group.numbers is None:
            absent.append(group.label)
        elif len(marks) == _MOST_MARKS:
            notes.append(f"only the first {_MOST_MARKS} boxes were read")
            break
        else:
            mark = _mark(group, group.numbers, convention, placement, notes)
            if mark is not None:
                marks.append(mark)
    notes = list(dict.fromkeys(notes))
    if marks:
        status: Status = "repaired" if notes else "found"
    elif absent or read.empty or text.strip(_PUNCTUATION).lower() in _ABSENT:
        status = "absent"
    else:
        status = "unreadable"
    return Found(status, tuple(marks), text, tuple(dict.fromkeys(absent)), tuple(notes))


def _mark(
    group: Group, numbers: Box, convention: Convention, placement: Placement, notes: list[str]
) -> Mark | None:
    """The place, or ``None`` with a note why it is none."""
    if group.by_name and convention.y_first:
        x0, y0, x1, y1 = numbers
        numbers = y0, x0, y1, x1
    sent = convention.to_sent(numbers, placement.sent)
    shares = ordered(
        (
            sent[0] / placement.sent[0],
            sent[1] / placement.sent[1],
            sent[2] / placement.sent[0],
            sent[3] / placement.sent[1],
        )
    )
    written = "[" + ", ".join(f"{number:g}" for number in numbers) + "]"
    if min(shares) < -_SLIGHTLY or max(shares) > 1 + _SLIGHTLY:
        notes.append(f"{written} lies outside the picture ({convention.wording}) and is left out")
        return None
    if ordered(sent) != sent:
        notes.append(f"the corners of {written} were in the wrong order")
    if min(shares) < 0 or max(shares) > 1:
        notes.append(f"{written} was cut to the picture")
    original = placement.to_original(ordered(sent))
    box = clipped(original)
    if convention.points:
        return Mark(group.label, box, in_pixels(box, placement.original), is_point=True)
    if box[2] - box[0] < _THINNEST or box[3] - box[1] < _THINNEST:
        where = "is empty" if area(original) <= 0 else "lies in the padding beside the picture"
        notes.append(f"{written} {where} and is left out")
        return None
    return Mark(group.label, box, in_pixels(box, placement.original))
