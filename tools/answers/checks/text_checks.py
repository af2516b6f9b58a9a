"""Check written values, and comparisons and times that follow from them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from sightline.storage.records.assets import AssetTextLine
from sightline.storage.types import Box
from sightline.tools.answers.checks.check_types import CheckResult, FoundPlace, Outcome, outcome_of
from sightline.tools.answers.checks.scene import Scene, only_sure
from sightline.tools.answers.prompt_injection import is_possible_injection
from sightline.tools.answers.statements.statement_types import ClaimStatement
from sightline.tools.answers.statements.written_values import (
    find_date_values,
    find_money,
    find_numbers,
    find_times,
    has_values,
    impossible_dates,
    iter_minutes,
    same_values,
)
from sightline.tools.answers.text_matching import contains_phrase, normalize
from sightline.tools.boxes.geometry import centers_overlap

#: Words on documents that name a field, by the word of a question.
_FIELD_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "total": ("total", "amount due", "grand total", "balance due", "合计", "总计", "总额"),
    "price": ("price", "unit price", "价格", "单价", "售价"),
    "date": ("date", "dated", "日期"),
    "phone": ("tel", "phone", "telephone", "电话"),
    "tax": ("tax", "gst", "vat", "税"),
    "change": ("change", "找零"),
    "cash": ("cash", "现金"),
    "subtotal": ("subtotal", "sub total", "小计"),
    "invoice number": ("invoice no", "invoice number", "bill no", "receipt no", "发票号"),
    "weight": ("weight", "重量"),
    "width": ("width", "宽度"),
    "height": ("height", "高度"),
    "warranty": ("warranty", "保修"),
}
_ALIASES: Final = {
    "total amount": "total",
    "amount": "total",
    "sum": "total",
    "grand total": "total",
    "cost": "price",
    "telephone number": "phone",
    "phone number": "phone",
    "telephone": "phone",
    "总价": "total",
    "总金额": "total",
    "合计": "total",
    "总计": "total",
    "价格": "price",
    "日期": "date",
    "重量": "weight",
    "宽度": "width",
    "高度": "height",
    "保修期": "warranty",
    "invoice no": "invoice number",
    "receipt number": "invoice number",
    "gst": "tax",
    "售价": "price",
    "单价": "price",
}
#: A value stands in the row of its label, or in the rows below it up to this many heights.
_MAX_ROWS_BELOW: Final = 1.6


async def reading(statement: ClaimStatement, scene: Scene, box: Box | None) -> CheckResult | None:
    """Look for written words or values, at the place that the question names.

    Words that are not found contradict nothing, because OCR misses lines. A value beside the label
    of the field, or in the box of the subject, contradicts another value.
    """
    if statement.kind != "reading" or not statement.value:
        return None
    value = statement.value
    if (impossible := impossible_dates(value)) and not _stands(impossible[0], scene.lines):
        return CheckResult("reading", "contradicted", f"{impossible[0]} is not a date")
    lines = [line for line in scene.lines if not is_possible_injection(line.text)]
    found = [line for line in lines if _shows(line.text, value)]
    if labelled := list(_labelled_values(statement, lines, has_values(value))):
        return _beside_label(value, labelled, found)
    if statement.subject and (result := await _at_subject(statement, scene, lines, found)):
        return result
    if _is_only_of_its_kind(statement, lines) and not found:
        others = [line for line in lines if _is_of_kind(statement, line.text)]
        reason = f"the only {statement.field} that was read is {others[0].text!r}"
        return _result("contradicted", reason, others)
    if not found:
        text = "" if box is None else _text_in(box, lines)
        reason = f"its box has the text {text!r}" if text else "it was not read"
        return CheckResult("reading", "unknown", reason)
    if box is not None and not any(each.box and centers_overlap(each.box, box) for each in found):
        return _result("unknown", "it was read outside its box", found)
    if _is_ambiguous(statement, lines):
        return _result("unknown", "it was read, but other values of its kind too", found)
    return _result("supported", "it was read on the image", found)


async def _at_subject(
    statement: ClaimStatement,
    scene: Scene,
    lines: Sequence[AssetTextLine],
    found: Sequence[AssetTextLine],
) -> CheckResult | None:
    """Compare with the text at the subject: in its box, or in line with its name.

    None without other text that could be meant.
    """
    subject, value = statement.subject, statement.value
    name = scene.written_place(subject)
    if name is not None:
        near = [
            line
            for line in lines
            if line.box and line.box != name.box and _is_in_line(name.box, line.box)
        ]
        near = [line for line in near if has_values(line.text) == has_values(value)]
        near += [line for line in lines if line.box == name.box and _shows(line.text, value)]
        where = f"in line with {subject!r}"
    else:
        detected = await scene.detect([subject])
        place = only_sure(detected[0]) if detected else None
        if place is None:
            others = [line for line in lines if has_values(line.text) == has_values(value)]
            if not found or len(others) <= len(found):
                return None
            return _result("unknown", f"it was read, but {subject!r} was not found", found)
        near = [line for line in lines if line.box and centers_overlap(line.box, place.box)]
        where = f"in the box of {subject!r}"
    agreeing = [line for line in near if _shows(line.text, value)]
    if agreeing:
        return _result("supported" if len(near) <= 2 else "unknown", f"it stands {where}", agreeing)
    if len(near) == 1:
        return _result("contradicted", f"{where} stands {near[0].text!r}", near)
    return _result("unknown", f"it was not read {where}", found) if found else None


def _is_in_line(a: Box, b: Box) -> bool:
    """Return whether the center of b is in the rows or in the columns of a."""
    middle_x, middle_y = (b[0] + b[2]) / 2, (b[1] + b[3]) / 2
    return a[0] <= middle_x <= a[2] or a[1] <= middle_y <= a[3]


async def written_comparison(
    statement: ClaimStatement, scene: Scene, _box: Box | None
) -> CheckResult | None:
    """Compare a written value with a bound, or the written values of two names."""
    if statement.kind != "comparison" or statement.measure not in ("value", "size"):
        return None
    if statement.number is not None:
        return _compare_with_bound(statement, statement.number, scene.lines)
    names = (statement.subject, statement.other)
    rows = [_only(_values_of(name, scene.lines)) for name in names]
    if not all(names) or rows[0] is None or rows[1] is None:
        return None
    (first, first_line), (second, second_line) = rows[0], rows[1]
    if first == second:
        return None
    outcome = outcome_of((first > second) == statement.more, statement)
    reason = f"the values beside them are {first:g} and {second:g}"
    return _result(outcome, reason, [first_line, second_line], "comparison")


async def clock_time(
    statement: ClaimStatement, scene: Scene, _box: Box | None
) -> CheckResult | None:
    """Compare a time with the clock times in the text, or else with the capture time."""
    is_bound = statement.kind == "comparison" and statement.measure == "time"
    if not is_bound and statement.kind != "time_of_day":
        return None
    found = [line for line in scene.lines if find_times(line.text)]
    minutes = {each for line in found for each in iter_minutes(find_times(line.text))}
    source = "the time on the image"
    if not minutes and scene.captured is not None:
        minutes = {60 * scene.captured.hour + scene.captured.minute}
        source = "the capture time"
    if len(minutes) != 1:
        return None
    (minute,) = minutes
    if is_bound:
        bound = statement.number or 0.0
        agrees: bool | None = None if minute == bound else (minute > bound) == statement.more
    else:
        agrees = _is_part_of_day(minute, statement.value)
    outcome: Outcome = "unknown" if agrees is None else outcome_of(agrees, statement)
    reason = f"{source} is {minute // 60:02}:{minute % 60:02}"
    check = "comparison" if is_bound else "time of day"
    return _result(outcome, reason, found, check)


def _is_part_of_day(minute: int, part: str) -> bool | None:
    """Return whether a time is surely in a part of the day; not for twilight."""
    hour = minute / 60
    is_day, is_night = 9 <= hour < 16, hour >= 23 or hour < 4
    if part == "day":
        return True if is_day else False if is_night else None
    if part == "night":
        return True if is_night else False if is_day else None
    return False if is_day or is_night else None


def _compare_with_bound(
    statement: ClaimStatement, bound: float, lines: Sequence[AssetTextLine]
) -> CheckResult | None:
    """Compare with the value of the field, or with all values if they are on one side."""
    if _field(statement) == "price":
        rows = [(float(value), line) for line in lines for value in find_money(line.text)]
    else:
        rows = list(_values_of(statement.field, lines))
    sides = {value > bound for value, _ in rows}
    if len(sides) != 1:
        return None
    outcome = outcome_of(sides.pop() == statement.more, statement)
    read = ", ".join(dict.fromkeys(f"{value:g}" for value, _ in rows))
    return _result(outcome, f"read: {read}", [line for _, line in rows], "comparison")


def _values_of(name: str, lines: Sequence[AssetTextLine]) -> Iterator[tuple[float, AssetTextLine]]:
    """Yield the numbers in one line with a name: ``EF 12``, ``Width 85 cm``."""
    for line in lines:
        if name and contains_phrase(line.text, name):
            rest = re.sub(re.escape(name), " ", line.text, flags=re.IGNORECASE)
            for values in find_numbers(rest):
                yield float(values[0]), line


def _only(rows: Iterator[tuple[float, AssetTextLine]]) -> tuple[float, AssetTextLine] | None:
    listed = list(rows)
    return listed[0] if len(listed) == 1 else None


def _field(statement: ClaimStatement) -> str:
    field = statement.field.casefold()
    return _ALIASES.get(field, field)


def _labelled_values(
    statement: ClaimStatement, lines: Sequence[AssetTextLine], is_value: bool
) -> Iterator[AssetTextLine]:
    """Yield the lines with the values that belong to the label of the field.

    Nothing for fields without a known label, and for claims that are no value.
    """
    words = _FIELD_WORDS.get(_field(statement), ())
    if not words or not is_value or (statement.subject and _field(statement) == "price"):
        return
    for label in lines:
        if not any(contains_phrase(label.text, word) for word in words):
            continue
        if _field(statement) == "total" and contains_phrase(label.text, "sub total"):
            continue
        if _is_value_of(statement, label.text):
            yield label
            continue
        for line in lines:
            is_value_line = line is not label and _is_value_of(statement, line.text)
            if is_value_line and label.box and line.box and _belongs(label.box, line.box):
                yield line


def _belongs(label: Box, value: Box) -> bool:
    """Return whether a value is right of its label, or directly below it."""
    height = label[3] - label[1]
    middle = (value[1] + value[3]) / 2
    if label[1] <= middle <= label[3] and value[0] >= label[0]:
        return True
    is_below = 0 < middle - label[3] <= _MAX_ROWS_BELOW * height
    return is_below and value[0] < label[2] and label[0] < value[2]


def _is_value_of(statement: ClaimStatement, text: str) -> bool:
    """Return whether a text has a value such as the claimed one: a date for a date."""
    if find_date_values(statement.value):
        return bool(find_date_values(text))
    if find_times(statement.value):
        return bool(find_times(text))
    return bool(find_numbers(text))


def _beside_label(
    value: str, labelled: Sequence[AssetTextLine], found: Sequence[AssetTextLine]
) -> CheckResult:
    agreeing = [line for line in labelled if same_values(value, line.text)]
    if agreeing:
        return _result("supported", "it stands beside the label of the field", agreeing)
    read = "; ".join(line.text for line in labelled[:3])
    outcome: Outcome = "unknown" if found and len(labelled) > 1 else "contradicted"
    return _result(outcome, f"beside the label stands {read!r}", labelled)


def _is_of_kind(statement: ClaimStatement, text: str) -> bool:
    field = _field(statement)
    if field == "date":
        return bool(find_date_values(text))
    if field == "time":
        return bool(find_times(text))
    return field == "price" and bool(find_money(text))


def _kinds_read(statement: ClaimStatement, lines: Sequence[AssetTextLine]) -> set[str]:
    """Return the values on the image of the kind that the question asks for."""
    find = {"date": find_date_values, "time": find_times, "price": find_money}.get(
        _field(statement)
    )
    return set() if find is None else {value for line in lines for value in find(line.text)}


def _is_only_of_its_kind(statement: ClaimStatement, lines: Sequence[AssetTextLine]) -> bool:
    return sum(_is_of_kind(statement, line.text) for line in lines) == 1


def _is_ambiguous(statement: ClaimStatement, lines: Sequence[AssetTextLine]) -> bool:
    """Return whether several values were read that could be meant."""
    if has_values(statement.value) and _field(statement) in ("total", "tax", "subtotal", "change"):
        return True
    return len(_kinds_read(statement, lines)) > 1


def _shows(text: str, value: str) -> bool:
    return contains_phrase(text, value) or same_values(value, text)


def _stands(words: str, lines: Sequence[AssetTextLine]) -> bool:
    return any(contains_phrase(line.text, words) for line in lines)


def _text_in(box: Box, lines: Sequence[AssetTextLine]) -> str:
    inside = [line.text for line in lines if line.box and centers_overlap(line.box, box)]
    return inside[0] if len(inside) == 1 and normalize(inside[0]) else ""


def _result(
    outcome: Outcome, reason: str, lines: Sequence[AssetTextLine], check: str = "reading"
) -> CheckResult:
    places = tuple(
        FoundPlace(line.text, line.box, 1.0, "text") for line in lines if line.box is not None
    )
    texts = tuple(dict.fromkeys(line.text for line in lines))
    return CheckResult(check, outcome, reason, places, texts)
