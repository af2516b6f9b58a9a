"""Find labeled groups of four numbers in a reply, in every notation.

Every pattern has a bounded length and no nested repetition, so the time is linear in the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from sightline.storage.types import Box
from sightline.tools.boxes.model_profiles import BoxFormat
from sightline.tools.boxes.tolerant_json import MAX_CHARS, Value, documents

LABEL_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class LabeledNumbers:
    """Four numbers with their label; None for an object that is not there.

    ``named_corners`` means that x and y were given by name, so their order is known.
    """

    label: str
    numbers: Box | None
    named_corners: bool = False


@dataclass(frozen=True, slots=True)
class ParsedNotation:
    """The groups in a text.

    ``truncated`` means that it ends inside a list or object. ``is_empty`` means that the model
    wrote an empty list or null: it found nothing.
    """

    items: tuple[LabeledNumbers, ...]
    truncated: bool = False
    is_empty: bool = False


def parse_notation(text: str, box_format: BoxFormat) -> ParsedNotation:
    """Find every group in the text, in order."""
    text = text[:MAX_CHARS]
    match box_format.notation:
        case "brackets":
            return _brackets(text, box_format)
        case "paligemma":
            return ParsedNotation(tuple(_paligemma(text)))
        case "florence":
            return ParsedNotation(tuple(_florence(text)))
        case "kosmos":
            return ParsedNotation(tuple(_kosmos(text)))
        case "molmo":
            return ParsedNotation(tuple(_molmo(text)))
        case _:
            assert_never(box_format.notation)


# Brackets: JSON where there is an object, else numbers in the text ---------------------------

_BOX_KEYS: Final = ("bbox_2d", "box_2d", "bbox", "box", "bounding_box", "boxes", "bboxes")
_LABEL_KEYS: Final = ("label", "name", "object", "phrase", "text", "text_content", "ref", "class")
_CORNERS: Final = (
    ("x0", "y0", "x1", "y1"),
    ("x1", "y1", "x2", "y2"),
    ("xmin", "ymin", "xmax", "ymax"),
    ("x_min", "y_min", "x_max", "y_max"),
    ("left", "top", "right", "bottom"),
)

_N: Final = r"[-+]?(?:\d{1,9}(?:\.\d{0,12})?|\.\d{1,12})"
_GAP: Final = r"\s{0,8},\s{0,8}"
_GROUP: Final = re.compile(
    rf"""
      (?:<\|ref\|>|<\|object_ref_start\|>|<ref>)(?P<ref>[^<]{{0,{LABEL_CHARS}}})
    | [\[(]\s{{0,8}}(?P<a>{_N}){_GAP}(?P<b>{_N}){_GAP}(?P<c>{_N}){_GAP}(?P<d>{_N})\s{{0,8}}[\])]
    | [(\[]\s{{0,8}}(?P<e>{_N}){_GAP}(?P<f>{_N})\s{{0,8}}[)\]]\s{{0,8}},?\s{{0,8}}
      [(\[]\s{{0,8}}(?P<g>{_N}){_GAP}(?P<h>{_N})\s{{0,8}}[)\]]
    """,
    re.VERBOSE,
)
_TOKEN: Final = re.compile(r"<[^<>]{1,40}>")
_OPEN_END: Final = re.compile(r"[\[(][\d\s.,+-]{0,120}$")
#: Characters between a label and its numbers after a server removed special tokens.
_BETWEEN: Final = " \t\r\n,;:.[]()，；：。"


def _brackets(text: str, box_format: BoxFormat) -> ParsedNotation:
    if "{" in text:
        parsed = _json(text)
        if parsed.items or parsed.is_empty:
            return parsed
    items = tuple(_bracketed(text, box_format))
    # The pattern is tried once, from the last opening bracket.
    last = max(text.rfind("["), text.rfind("("))
    cut = last >= 0 and _OPEN_END.match(text, last) is not None
    is_empty = not items and not cut and any(_is_empty(each.value) for each in documents(text))
    return ParsedNotation(items, truncated=cut, is_empty=is_empty)


def _bracketed(text: str, box_format: BoxFormat) -> Iterator[LabeledNumbers]:
    label, after = "", 0
    for match in _GROUP.finditer(text):
        if match["ref"] is not None:
            label, after = match["ref"].strip(), match.end()
            continue
        four = [match[name] for name in ("abcd" if match["a"] is not None else "efgh")]
        if box_format.label_before:
            between = text[max(after, match.start() - LABEL_CHARS) : match.start()]
            words = _TOKEN.sub(" ", between).strip(_BETWEEN)
            if words:
                label = words.splitlines()[-1].strip(_BETWEEN)
        after = match.end()
        yield LabeledNumbers(label, _four(four))


def _json(text: str) -> ParsedNotation:
    items: list[LabeledNumbers] = []
    truncated = is_empty = False
    for document in documents(text):
        items += _walk(document.value, "")
        truncated |= document.truncated
        is_empty |= _is_empty(document.value)
    return ParsedNotation(tuple(items), truncated, is_empty=is_empty and not items)


def _is_empty(value: Value) -> bool:
    """Return whether a value is an empty list, or an object without values."""
    if isinstance(value, dict):
        return all(item is None or item in ([], {}) for item in value.values())
    return value == []


def _walk(value: Value, label: str) -> Iterator[LabeledNumbers]:
    """Yield the groups in a JSON value. `documents` limits its depth."""
    if isinstance(value, list):
        four = _four_of(value)
        if four is not None:
            yield LabeledNumbers(label, four)
        else:
            for item in value:
                if isinstance(item, list | dict):
                    yield from _walk(item, label)
    elif isinstance(value, dict):
        yield from _walk_object(value, label)


def _walk_object(members: dict[str, Value], label: str) -> Iterator[LabeledNumbers]:
    lowered = {key.lower(): item for key, item in members.items()}
    own = next((str(lowered[k]) for k in _LABEL_KEYS if isinstance(lowered.get(k), str)), label)
    own = " ".join(own.split())[:LABEL_CHARS]
    corners = _named_corners(lowered)
    if corners is not None:
        yield LabeledNumbers(own, corners, named_corners=True)
        return
    for key, item in members.items():
        if key.lower() in _BOX_KEYS:
            if item is None:
                yield LabeledNumbers(own, None)
            elif isinstance(item, str):
                yield from (LabeledNumbers(own, four) for four in _in_string(item))
            else:
                yield from _walk(item, own)
        elif isinstance(item, list) and _four_of(item) is not None:
            # {"white van": [1, 2, 3, 4]}
            yield LabeledNumbers(own or key[:LABEL_CHARS], _four_of(item))
        elif isinstance(item, list | dict):
            yield from _walk(item, own)


def _named_corners(members: dict[str, Value]) -> Box | None:
    for names in _CORNERS:
        if all(name in members for name in names):
            return _four_of([members[name] for name in names])
    return None


def _in_string(text: str) -> Iterator[Box]:
    for match in _GROUP.finditer(text[:LABEL_CHARS]):
        if match["a"] is not None:
            four = _four([match[name] for name in "abcd"])
            if four is not None:
                yield four


def _four_of(items: list[Value]) -> Box | None:
    """Return four numbers, from numbers or strings; None for anything else."""
    if len(items) != 4:
        return None
    numbers: list[str] = []
    for item in items:
        if isinstance(item, bool) or not isinstance(item, float | str):
            return None
        numbers.append(str(item))
    return _four(numbers)


def _four(texts: Iterable[str]) -> Box | None:
    try:
        a, b, c, d = (float(text) for text in texts)
    except ValueError:
        return None
    return (a, b, c, d) if all(map(math.isfinite, (a, b, c, d))) else None


# The families with tokens of their own ----------------------------------------------------------

_PALIGEMMA: Final = re.compile(r"((?:<loc\d{4}>){4})\s{0,8}([^<;\n]{0,200})")
_FLORENCE: Final = re.compile(r"([^<>\n]{0,200})((?:<loc_\d{1,4}>){4})")
_KOSMOS: Final = re.compile(
    r"<phrase>([^<]{0,200})</phrase>|<patch_index_(\d{4})>\s{0,8}<patch_index_(\d{4})>"
)
_MOLMO: Final = re.compile(r"<points?\s([^<>]{0,4000})(?:>|$)")
_POINT: Final = re.compile(rf"\b([xy])(\d{{0,3}})\s{{0,4}}=\s{{0,4}}[\"']\s{{0,4}}({_N})")
_COORDS: Final = re.compile(r"\bcoords\s{0,4}=\s{0,4}[\"']([\d\s.;:,]{0,4000})")
_ALT: Final = re.compile(r"\balt\s{0,4}=\s{0,4}\"([^\"]{0,200})\"")
_DECIMALS: Final = re.compile(r"\d{1,7}(?:\.\d{1,7})?")
_DIGITS: Final = re.compile(r"\d+")
_KOSMOS_CELLS: Final = 32


def _paligemma(text: str) -> Iterator[LabeledNumbers]:
    for match in _PALIGEMMA.finditer(text):
        yield LabeledNumbers(match[2].strip(), _four(_DIGITS.findall(match[1])))


def _florence(text: str) -> Iterator[LabeledNumbers]:
    label = ""
    for match in _FLORENCE.finditer(text):
        label = match[1].strip() or label  # several boxes may follow one label
        yield LabeledNumbers(label, _four(_DIGITS.findall(match[2])))


def _kosmos(text: str) -> Iterator[LabeledNumbers]:
    """Convert cells to their centers, or to edges within one row or column."""
    label = ""
    for match in _KOSMOS.finditer(text):
        if match[1] is not None:
            label = match[1].strip()
            continue
        y0, x0 = divmod(int(match[2]), _KOSMOS_CELLS)
        y1, x1 = divmod(int(match[3]), _KOSMOS_CELLS)
        if x0 == x1 or y0 == y1:
            yield LabeledNumbers(label, (x0, y0, x1 + 1.0, y1 + 1.0))
        else:
            yield LabeledNumbers(label, (x0 + 0.5, y0 + 0.5, x1 + 0.5, y1 + 0.5))


def _molmo(text: str) -> Iterator[LabeledNumbers]:
    """Parse ``x1="10.0" y1="20.0"`` (Molmo) and ``coords="IMAGE ID X Y"``."""
    for match in _MOLMO.finditer(text):
        alt = _ALT.search(match[1])
        coords = _COORDS.search(match[1])
        if coords is not None:
            between = text[match.end() : match.end() + LABEL_CHARS].partition("<")[0]
            yield from _triples((alt[1] if alt else between).strip(), coords[1])
            continue
        label = alt[1].strip() if alt else ""
        pairs: dict[str, dict[str, float]] = {}
        for axis, number, value in _POINT.findall(match[1]):
            pairs.setdefault(number, {}).setdefault(axis, float(value))
        for pair in pairs.values():
            if len(pair) == 2:
                yield LabeledNumbers(label, (pair["x"], pair["y"], pair["x"], pair["y"]))


def _triples(label: str, coords: str) -> Iterator[LabeledNumbers]:
    """Yield the points in the first image: its number, then ``ID X Y`` for each."""
    numbers = [float(each) for each in _DECIMALS.findall(re.split(r"[;:\t\n]", coords)[0])]
    for at in range(1, len(numbers) - 2, 3):
        x, y = numbers[at + 1], numbers[at + 2]
        yield LabeledNumbers(label, (x, y, x, y))
