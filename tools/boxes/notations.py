"""Finds groups of numbers with their labels in an answer, in every notation of the table.

Nothing here knows what the numbers mean. Every pattern is of bounded length and without nested
repetition, so that the time is in proportion to the text whatever a model writes.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, assert_never

from sightline.tools.boxes.conventions import Convention, Notation
from sightline.tools.boxes.geometry import Box
from sightline.tools.boxes.tolerant_json import MOST_CHARS, Value, documents

LABEL_CHARS: Final = 200


@dataclass(frozen=True, slots=True)
class Group:
    """Four numbers as they were written, and what they belong to.

    ``numbers`` is ``None`` where the model named a thing and said that it is not there.
    ``by_name`` marks corners that were given as x and y by name, so that their order is known.
    """

    label: str
    numbers: Box | None
    by_name: bool = False


@dataclass(frozen=True, slots=True)
class Groups:
    """What a text holds; ``truncated`` where it ends inside a list or an object."""

    found: tuple[Group, ...]
    truncated: bool = False
    #: An empty list or a null was written: the model looked and found nothing.
    empty: bool = False


def groups(text: str, convention: Convention) -> Groups:
    """Every group in ``text``, in order, read in the notation of ``convention``."""
    text = text[:MOST_CHARS]
    notation: Notation = convention.notation
    match notation:
        case "brackets":
            return _brackets(text, convention)
        case "paligemma":
            return Groups(tuple(_paligemma(text)))
        case "florence":
            return Groups(tuple(_florence(text)))
        case "kosmos":
            return Groups(tuple(_kosmos(text)))
        case "molmo":
            return Groups(tuple(_molmo(text)))
        case _:
            assert_never(notation)


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
_MARK: Final = re.compile(
    rf"""
      (?:<\|ref\|>|<\|object_ref_start\|>|<ref>)(?P<ref>[^<]{{0,{LABEL_CHARS}}})
    | [\[(]\s{{0,8}}(?P<a>{_N}){_GAP}(?P<b>{_N}){_GAP}(?P<c>{_N}){_GAP}(?P<d>{_N})\s{{0,8}}[\])]
    | [(\[]\s{{0,8}}(?P<e>{_N}){_GAP}(?P<f>{_N})\s{{0,8}}[)\]]\s{{0,8}},?\s{{0,8}}
      [(\[]\s{{0,8}}(?P<g>{_N}){_GAP}(?P<h>{_N})\s{{0,8}}[)\]]
    """,
    re.VERBOSE,
)
_OPEN_END: Final = re.compile(r"[\[(][\d\s.,+-]{0,120}$")
#: What may stand between a label and its numbers when a server has stripped the tokens between.
_BETWEEN: Final = " \t\r\n,;:.[]()，；：。"


def _brackets(text: str, convention: Convention) -> Groups:
    if "{" in text:
        read = _json(text)
        if read.found or read.empty:
            return read
    found = tuple(_marks(text, convention))
    # From the last opening bracket, so that the pattern is tried once.
    last = max(text.rfind("["), text.rfind("("))
    cut = last >= 0 and _OPEN_END.match(text, last) is not None
    empty = not found and not cut and any(_says_nothing(read.value) for read in documents(text))
    return Groups(found, truncated=cut, empty=empty)


def _marks(text: str, convention: Convention) -> Iterator[Group]:
    label, after = "", 0
    for match in _MARK.finditer(text):
        if match["ref"] is not None:
            label, after = match["ref"].strip(), match.end()
            continue
        four = [match[name] for name in ("abcd" if match["a"] is not None else "efgh")]
        if convention.label_before:
            between = text[max(after, match.start() - LABEL_CHARS) : match.start()]
            words = _without_tokens(between).strip(_BETWEEN)
            if words:
                label = words.splitlines()[-1].strip(_BETWEEN)
        after = match.end()
        yield Group(label, _four(four))


_TOKEN: Final = re.compile(r"<[^<>]{1,40}>")


def _without_tokens(text: str) -> str:
    return _TOKEN.sub(" ", text)


def _json(text: str) -> Groups:
    found: list[Group] = []
    truncated = empty = False
    for document in documents(text):
        found += _walk(document.value, "")
        truncated |= document.truncated
        empty |= _says_nothing(document.value)
    return Groups(tuple(found), truncated, empty=empty and not found)


def _says_nothing(value: Value) -> bool:
    """``[]``, ``{}``, ``{"boxes": []}`` and ``{"box": null}``: looked for, and not found."""
    if isinstance(value, dict):
        return all(item is None or item in ([], {}) for item in value.values())
    return value == []


def _walk(value: Value, label: str) -> Iterator[Group]:
    """The groups in a JSON value; depth is bounded by the reader that made it."""
    if isinstance(value, list):
        four = _four_of(value)
        if four is not None:
            yield Group(label, four)
        else:
            for item in value:
                if isinstance(item, list | dict):
                    yield from _walk(item, label)
    elif isinstance(value, dict):
        yield from _walk_object(value, label)


def _walk_object(members: dict[str, Value], label: str) -> Iterator[Group]:
    lowered = {key.lower(): item for key, item in members.items()}
    own = next((str(lowered[k]) for k in _LABEL_KEYS if isinstance(lowered.get(k), str)), label)
    own = " ".join(own.split())[:LABEL_CHARS]
    corners = _named_corners(lowered)
    if corners is not None:
        yield Group(own, corners, by_name=True)
        return
    for key, item in members.items():
        if key.lower() in _BOX_KEYS:
            if item is None:
                yield Group(own, None)
            elif isinstance(item, str):
                yield from (Group(own, four) for four in _in_string(item))
            else:
                yield from _walk(item, own)
        elif isinstance(item, list) and _four_of(item) is not None:
            # {"white van": [1, 2, 3, 4]}
            yield Group(own or key[:LABEL_CHARS], _four_of(item))
        elif isinstance(item, list | dict):
            yield from _walk(item, own)


def _named_corners(members: dict[str, Value]) -> Box | None:
    for names in _CORNERS:
        if all(name in members for name in names):
            return _four_of([members[name] for name in names])
    return None


def _in_string(text: str) -> Iterator[Box]:
    for match in _MARK.finditer(text[:LABEL_CHARS]):
        if match["a"] is not None:
            four = _four([match[name] for name in "abcd"])
            if four is not None:
                yield four


def _four_of(items: list[Value]) -> Box | None:
    """Four numbers, or four strings of numbers; ``None`` for anything else."""
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
_LABEL_CHARS: Final = 200
_DECIMALS: Final = re.compile(r"\d{1,7}(?:\.\d{1,7})?")
_DIGITS: Final = re.compile(r"\d+")
_KOSMOS_CELLS: Final = 32


def _paligemma(text: str) -> Iterator[Group]:
    for match in _PALIGEMMA.finditer(text):
        yield Group(match[2].strip(), _four(_DIGITS.findall(match[1])))


def _florence(text: str) -> Iterator[Group]:
    label = ""
    for match in _FLORENCE.finditer(text):
        label = match[1].strip() or label  # several boxes may follow one label
        yield Group(label, _four(_DIGITS.findall(match[2])))


def _kosmos(text: str) -> Iterator[Group]:
    """Cells to numbers: their middles, or their edges where both lie in one row or column."""
    label = ""
    for match in _KOSMOS.finditer(text):
        if match[1] is not None:
            label = match[1].strip()
            continue
        y0, x0 = divmod(int(match[2]), _KOSMOS_CELLS)
        y1, x1 = divmod(int(match[3]), _KOSMOS_CELLS)
        if x0 == x1 or y0 == y1:
            yield Group(label, (x0, y0, x1 + 1.0, y1 + 1.0))
        else:
            yield Group(label, (x0 + 0.5, y0 + 0.5, x1 + 0.5, y1 + 0.5))


def _molmo(text: str) -> Iterator[Group]:
    """Molmo's ``x1="10.0" y1="20.0"``, and Molmo 2's ``coords="PICTURE ID X Y ID X Y"``."""
    for match in _MOLMO.finditer(text):
        alt = _ALT.search(match[1])
        coords = _COORDS.search(match[1])
        if coords is not None:
            between = text[match.end() : match.end() + _LABEL_CHARS].partition("<")[0]
            yield from _triples((alt[1] if alt else between).strip(), coords[1])
            continue
        label = alt[1].strip() if alt else ""
        pairs: dict[str, dict[str, float]] = {}
        for axis, number, value in _POINT.findall(match[1]):
            pairs.setdefault(number, {}).setdefault(axis, float(value))
        for pair in pairs.values():
            if len(pair) == 2:
                yield Group(label, (pair["x"], pair["y"], pair["x"], pair["y"]))


def _triples(label: str, coords: str) -> Iterator[Group]:
    """The points in the first picture: its number, then ``ID X Y`` for each."""
    numbers = [float(each) for each in _DECIMALS.findall(re.split(r"[;:\t\n]", coords)[0])]
    for at in range(1, len(numbers) - 2, 3):
        x, y = numbers[at + 1], numbers[at + 2]
        yield Group(label, (x, y, x, y))
