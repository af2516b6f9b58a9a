"""Check counts, existence and locations with the boxes of the detector."""

from __future__ import annotations

import re
from typing import Final

from sightline.storage.types import Box
from sightline.tools.answers.checks.check_types import CheckResult, Outcome, outcome_of
from sightline.tools.answers.checks.domain import names_of
from sightline.tools.answers.checks.scene import Scene, has_name_inside, sure_and_possible
from sightline.tools.answers.statements.statement_types import ClaimStatement
from sightline.tools.answers.text_matching import contains_phrase
from sightline.tools.boxes.geometry import area, centers_overlap, iou

#: Two boxes with this IoU show the same object.
_SAME_IOU: Final = 0.5
#: Boxes with less are of different objects.
_OTHER_IOU: Final = 0.1
#: Area of a box in the area of the name that is written in it.
_MAX_AROUND_NAME: Final = 16.0
#: OCR misses single letters, and one name among others is rarely missed.
_MIN_NAME_CHARS: Final = 3
_MIN_NAMES: Final = 3
_NAME_LINE: Final = re.compile(r"[A-Z][A-Za-z]{1,11}\??")
_QUOTED: Final = re.compile(r"[\"“「]([^\"”」]+)[\"”」]")


async def count(statement: ClaimStatement, scene: Scene, _box: Box | None) -> CheckResult | None:
    """Compare a count with the number of boxes.

    Boxes that are only possible give a range of counts. No box at all contradicts no count, because
    detectors miss small things.
    """
    if statement.kind != "count" or statement.number is None:
        return None
    found = await scene.detect([statement.subject])
    if found is None:
        return None
    sure, possible = sure_and_possible(found[0])
    claimed = int(statement.number)
    outcome: Outcome = "unknown"
    is_known = bool(possible) or (claimed == 0 and not found[0] and scene.knows(statement.subject))
    if is_known and (len(sure) == len(possible) or not len(sure) <= claimed <= len(possible)):
        outcome = outcome_of(len(sure) == claimed == len(possible), statement)
    counted = f"{len(sure)}" if len(sure) == len(possible) else f"{len(sure)} to {len(possible)}"
    return CheckResult(
        "count",
        outcome,
        f"the detector counts {counted} of {statement.subject!r}",
        tuple(possible),
        measured=(("sure", len(sure)), ("possible", len(possible))),
    )


async def existence(
    statement: ClaimStatement, scene: Scene, _box: Box | None
) -> CheckResult | None:
    """Look for an object by the detector; quoted words are looked for in the text."""
    if statement.kind != "existence" or not statement.subject:
        return None
    quoted = _QUOTED.search(statement.subject)
    if quoted is not None:
        lines = [line.text for line in scene.lines if contains_phrase(line.text, quoted[1])]
        if not lines:
            return CheckResult("existence", "unknown", f"{quoted[1]!r} was not read")
        outcome = outcome_of(True, statement)
        return CheckResult("existence", outcome, f"{quoted[1]!r} was read", texts=tuple(lines))
    for name in names_of(statement.subject):
        place = scene.written_place(name)
        if place is not None:
            outcome = outcome_of(True, statement)
            return CheckResult("existence", outcome, f"{name!r} was read", (place,))
    if (missing := _missing_name(statement.subject, scene)) is not None:
        reason = f"{missing!r} was not read, but other names were"
        return CheckResult("name", outcome_of(False, statement), reason)
    found = await scene.detect([statement.subject])
    if found is None:
        return None
    sure, possible = sure_and_possible(found[0])
    best = found[0][0].score if found[0] else 0.0
    is_absent = not found[0] and scene.knows(statement.subject)
    outcome = outcome_of(bool(sure), statement) if sure or is_absent else "unknown"
    finds = "finds" if sure else "may find" if found[0] else "does not find"
    return CheckResult(
        "existence",
        outcome,
        f"the detector {finds} {statement.subject!r}",
        tuple(sure or possible or found[0]),
        measured=(("score", best),),
    )


def _missing_name(subject: str, scene: Scene) -> str | None:
    """Return the name in a phrase that no line has, though other names were read."""
    names = [each for each in names_of(subject) if len(each) >= _MIN_NAME_CHARS]
    read = [line.text for line in scene.lines if _NAME_LINE.fullmatch(line.text.strip())]
    if len(names) != 1 or len(read) < _MIN_NAMES:
        return None
    is_read = any(names[0].casefold() in line.text.casefold() for line in scene.lines)
    return None if is_read else names[0]


def _holds(box: Box, name: Box) -> bool:
    """Return whether a box is around a name, and not around much more."""
    return centers_overlap(name, box) and area(box) <= _MAX_AROUND_NAME * area(name)


async def location(statement: ClaimStatement, scene: Scene, box: Box | None) -> CheckResult | None:
    """Compare the box of a claim with the boxes of the detector or of the text."""
    if statement.kind != "location" or box is None:
        return None
    written = scene.written_place(statement.subject)
    if written is not None:
        places = [written]
    else:
        found = await scene.detect([statement.subject])
        if found is None:
            return None
        places, possible = sure_and_possible(found[0])
        if not places:
            reason = f"the detector does not find {statement.subject!r} for sure"
            return CheckResult("location", "unknown", reason, tuple(possible))
    overlap = max(iou(each.box, box) for each in places)
    is_same = overlap >= _SAME_IOU or (
        written is not None and has_name_inside(statement.subject) and _holds(box, written.box)
    )
    is_elsewhere = overlap < _OTHER_IOU and not any(
        centers_overlap(each.box, box) for each in places
    )
    outcome: Outcome = "supported" if is_same else "contradicted" if is_elsewhere else "unknown"
    source = "the text" if written is not None else "the detector"
    return CheckResult(
        "location",
        outcome,
        f"its box and that of {source} have an IoU of {overlap:.2f}",
        tuple(places),
        measured=(("iou", overlap),),
    )
