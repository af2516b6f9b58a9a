"""Check relations and comparisons by the boxes of both objects."""

from __future__ import annotations

from typing import Final

from sightline.storage.types import Box
from sightline.tools.answers.checks.check_types import CheckResult, FoundPlace, Outcome, outcome_of
from sightline.tools.answers.checks.scene import Scene, sure_and_possible
from sightline.tools.answers.statements.statement_types import OPPOSITES, ClaimStatement, Relation
from sightline.tools.boxes.geometry import area

#: Centers that differ by less than this share of the smaller object are side by side.
_MIN_OFFSET: Final = 0.35
#: Sizes that differ by less are equal for a box of a detector.
_MIN_RATIO: Final = 1.08
#: Share of an object in the box of another object that contains it.
_INSIDE: Final = 0.9


async def relation(statement: ClaimStatement, scene: Scene, _box: Box | None) -> CheckResult | None:
    """Compare the boxes of two objects."""
    wanted = statement.relation
    if statement.kind != "relation" or wanted is None:
        return None
    names = [statement.subject, statement.other]
    subjects, others = await scene.candidates(names)
    if not subjects or not others:
        missing = names[1] if subjects else names[0]
        return CheckResult(
            "relation", "unknown", f"{missing!r} is not found for sure", (*subjects, *others)
        )
    # Of several candidates each must be related in the same way.
    found = {is_related(a.box, b.box, wanted) for a in subjects for b in others}
    holds = found.pop() if len(found) == 1 else None
    subject, other = subjects[0], others[0]
    outcome: Outcome = "unknown" if holds is None else outcome_of(holds, statement)
    verb = "may be" if holds is None else "is" if holds else "is not"
    reason = f"by its box {names[0]!r} {verb} {_WORDS[wanted]} {names[1]!r}"
    dx = _center(subject.box, 0) - _center(other.box, 0)
    dy = _center(subject.box, 1) - _center(other.box, 1)
    # "What is left of the sofa?" asks for the nearest one, which boxes only make likely.
    check = "neighbor" if statement.is_nearest and outcome == "supported" else "relation"
    return CheckResult(check, outcome, reason, (subject, other), measured=(("dx", dx), ("dy", dy)))


_WORDS: Final[dict[Relation, str]] = {
    "left": "left of",
    "right": "right of",
    "above": "above",
    "below": "below",
    "beside": "beside",
    "inside": "inside",
}


def is_related(a: Box, b: Box, wanted: Relation) -> bool | None:
    """Return whether box a has the relation to b, None for a close call."""
    if wanted == "inside":
        shared = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
        share = shared / area(a) if area(a) else 0.0
        return True if share >= _INSIDE and area(a) < area(b) else None if share > 0.5 else False
    if wanted == "beside":
        overlap = min(a[3], b[3]) - max(a[1], b[1])
        gap = max(a[0], b[0]) - min(a[2], b[2])
        is_near = overlap > 0 and gap < 0.5 * max(a[2] - a[0], b[2] - b[0])
        return True if is_near else None
    if wanted in ("right", "below"):
        opposite = is_related(a, b, OPPOSITES[wanted])
        return None if opposite is None else not opposite
    axis = 0 if wanted == "left" else 1
    size = min(a[axis + 2] - a[axis], b[axis + 2] - b[axis])
    offset = _center(b, axis) - _center(a, axis)
    if abs(offset) < _MIN_OFFSET * size:
        return None
    return offset > 0


def _center(box: Box, axis: int) -> float:
    return (box[axis] + box[axis + 2]) / 2


async def box_comparison(
    statement: ClaimStatement, scene: Scene, _box: Box | None
) -> CheckResult | None:
    """Compare the sizes, places or numbers of boxes of two objects."""
    if statement.kind != "comparison" or not statement.subject or not statement.other:
        return None
    if statement.measure == "count":
        return await _compare_counts(statement, scene)
    if statement.measure not in ("size", "height", "width", "level"):
        return None
    subject, other = await scene.locate([statement.subject, statement.other])
    if subject is None or other is None:
        return None
    if "text" in (subject.origin, other.origin) and statement.measure != "level":
        return None  # the size of a name says nothing about what it names
    values = [_measure(each, statement.measure) for each in (subject, other)]
    return _compare(statement, values, (subject, other), statement.measure)


async def _compare_counts(statement: ClaimStatement, scene: Scene) -> CheckResult | None:
    found = await scene.detect([statement.subject, statement.other])
    if found is None:
        return None
    counts = [sure_and_possible(each) for each in found]
    fewest, most = [len(sure) for sure, _ in counts], [len(each) for _, each in counts]
    places = tuple(place for _, possible in counts for place in possible)
    is_more: bool | None = None
    if statement.more:
        is_more = True if fewest[0] > most[1] else False if most[0] <= fewest[1] else None
    else:
        is_more = True if most[0] < fewest[1] else False if fewest[0] >= most[1] else None
    names = (statement.subject, statement.other)
    is_known = [
        bool(possible) or (not each and scene.knows(name))
        for each, (_, possible), name in zip(found, counts, names, strict=True)
    ]
    if not all(is_known):
        is_more = None
    outcome: Outcome = "unknown" if is_more is None else outcome_of(is_more, statement)
    reason = (
        f"the detector counts {most[0]} of {statement.subject!r} and {most[1]} of "
        f"{statement.other!r}"
    )
    measured = (("subject", float(most[0])), ("other", float(most[1])))
    return CheckResult("comparison", outcome, reason, places, measured=measured)


def _measure(place: FoundPlace, measure: str) -> float:
    x0, y0, x1, y1 = place.box
    if measure == "level":
        return (y0 + y1) / 2
    return {"height": y1 - y0, "width": x1 - x0}.get(measure, area(place.box))


def _compare(
    statement: ClaimStatement, values: list[float], places: tuple[FoundPlace, ...], measure: str
) -> CheckResult:
    first, second = values if statement.more else values[::-1]
    is_close = max(values) < _MIN_RATIO * min(values)
    outcome: Outcome = "unknown" if is_close else outcome_of(first > second, statement)
    name = "place from the top" if measure == "level" else measure
    return CheckResult(
        "comparison",
        outcome,
        f"their boxes have a {name} of {values[0]:.2f} and {values[1]:.2f} of the image",
        places,
        measured=(("subject", values[0]), ("other", values[1])),
    )
