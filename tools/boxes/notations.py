"""Read and write labeled groups of four numbers, in every notation.

Every pattern has a bounded length and no nested repetition, so the time is linear in the text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from sightline.storage.types import Box
from sightline.tools.boxes.geometry import Placement
from sightline.tools.boxes.model_profiles import BoxFormat, Notation, Profile
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
    if box_format.notation == "brackets":
        return _brackets(text, box_format)
    return ParsedNotation(tuple(_TOKEN_PARSERS[box_format.notation](text)))


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
_BLANK: Final = r"[\s,]{1,8}"
_GROUP: Final = re.compile(
    rf"""
      (?:<\|ref\|>|<\|object_ref_start\|>|<ref>)(?P<ref>[^<]{{0,{LABEL_CHARS}}})
    | [\[(]\s{{0,8}}(?P<a>{_N}){_GAP}(?P<b>{_N}){_GAP}(?P<c>{_N}){_GAP}(?P<d>{_N})\s{{0,8}}[\])]
    | [(\[]\s{{0,8}}(?P<e>{_N}){_GAP}(?P<f>{_N})\s{{0,8}}[)\]]\s{{0,8}},?\s{{0,8}}
      [(\[]\s{{0,8}}(?P<g>{_N}){_GAP}(?P<h>{_N})\s{{0,8}}[)\]]
    | <box>\s{{0,8}}(?P<i>{_N}){_BLANK}(?P<j>{_N}){_BLANK}(?P<k>{_N}){_BLANK}(?P<l>{_N})
      \s{{0,8}}</?box>
    """,
    re.VERBOSE,
)
#: What remains of ``<box>1 2 3 4</box>`` after a server removed special tokens.
_BARE: Final = re.compile(rf"\s*({_N}){_BLANK}({_N}){_BLANK}({_N}){_BLANK}({_N})\s*")
_TOKEN: Final = re.compile(r"<[^<>]{1,40}>")
_OPEN_END: Final = re.compile(r"[\[(][\d\s.,+-]{0,120}$")
#: Characters between a label and its numbers after a server removed special tokens.
_BETWEEN: Final = " \t\r\n,;:.[]()，；：。"


def _brackets(text: str, box_format: BoxFormat) -> ParsedNotation:
    if "{" in text:
        parsed = _json(text)
        if parsed.items or parsed.is_empty:
            return parsed
    bare = _BARE.fullmatch(text)
    items = (
        tuple(_bracketed(text, box_format))
        if bare is None
        else (LabeledNumbers("", _four(bare.groups())),)
    )
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
        groups = next(names for names in ("abcd", "efgh", "ijkl") if match[names[0]] is not None)
        if box_format.label_before:
            between = text[max(after, match.start() - LABEL_CHARS) : match.start()]
            words = _TOKEN.sub(" ", between).strip(_BETWEEN)
            if words:
                label = words.splitlines()[-1].strip(_BETWEEN)
        after = match.end()
        yield LabeledNumbers(label, _four(match.group(*groups)))


def _json(text: str) -> ParsedNotation:
    found = documents(text)
    items = tuple(item for document in found for item in _walk(document.value, ""))
    is_empty = not items and any(_is_empty(document.value) for document in found)
    return ParsedNotation(items, any(document.truncated for document in found), is_empty)


def _is_empty(value: Value) -> bool:
    if isinstance(value, dict):
        return all(item is None or item in ([], {}) for item in value.values())
    return value == []


def _walk(value: Value, label: str) -> Iterator[LabeledNumbers]:
    """Yield the groups in a JSON value. `documents` limits its depth."""
    if isinstance(value, dict):
        yield from _walk_object(value, label)
    elif isinstance(value, list):
        if (four := _four_of(value)) is not None:
            yield LabeledNumbers(label, four)
        else:
            for item in value:
                yield from _walk(item, label)


def _walk_object(members: dict[str, Value], label: str) -> Iterator[LabeledNumbers]:
    lowered = {key.lower(): item for key, item in members.items()}
    own = next((str(lowered[k]) for k in _LABEL_KEYS if isinstance(lowered.get(k), str)), label)
    own = " ".join(own.split())[:LABEL_CHARS]
    names = next((names for names in _CORNERS if lowered.keys() >= set(names)), ())
    corners = _four_of([lowered[name] for name in names])
    if corners is not None:
        yield LabeledNumbers(own, corners, named_corners=True)
        return
    for key, item in members.items():
        is_box = key.lower() in _BOX_KEYS
        if is_box and item is None:
            yield LabeledNumbers(own, None)
        elif is_box and isinstance(item, str):
            yield from (LabeledNumbers(own, four) for four in _in_string(item))
        elif not is_box and isinstance(item, list) and (four := _four_of(item)) is not None:
            yield LabeledNumbers(own or key[:LABEL_CHARS], four)  # {"white van": [1, 2, 3, 4]}
        else:
            yield from _walk(item, own)


def _in_string(text: str) -> Iterator[Box]:
    for match in _GROUP.finditer(text[:LABEL_CHARS]):
        if match["a"] is not None and (four := _four(match.group(*"abcd"))) is not None:
            yield four


def _four_of(items: list[Value]) -> Box | None:
    """Return four numbers, from numbers or strings; None for anything else."""
    texts = [str(item) for item in items if isinstance(item, float | str)]
    return _four(texts) if len(texts) == len(items) == 4 else None


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


_TOKEN_PARSERS: Final[dict[Notation, Callable[[str], Iterator[LabeledNumbers]]]] = {
    "paligemma": _paligemma,
    "florence": _florence,
    "kosmos": _kosmos,
    "molmo": _molmo,
}

# Writing, for training data and round trips ------------------------------------------------------

#: Characters with a meaning in some notation.
_RESERVED: Final = re.compile(r"[<>\[\](){}\"\s]+")


def format_boxes(
    labeled_boxes: Sequence[tuple[str, Box]], profile: Profile, placement: Placement
) -> str:
    """Write labels and normalized boxes as a model of the profile does.

    A family that points gets the center of each box. Raises ValueError if the profile has no boxes.
    """
    box_format = profile.box_format
    if box_format is None:
        raise ValueError(f"The profile {profile.name!r} has no boxes.")
    separator = " ; " if box_format.notation == "paligemma" else "\n"
    return separator.join(
        box_format.template.format(
            *_write_numbers(box, box_format, placement), label=_RESERVED.sub(" ", label).strip()
        )
        for label, box in labeled_boxes
    )


def _write_numbers(box: Box, box_format: BoxFormat, placement: Placement) -> Sequence[str | int]:
    sent = placement.to_sent(box)
    if box_format.points:
        x, y = (sent[0] + sent[2]) / 2, (sent[1] + sent[3]) / 2
        sent = (x, y, x, y)
    numbers: Sequence[float] = box_format.from_sent(sent, placement.sent)
    if box_format.notation == "kosmos":
        return _kosmos_cells(numbers)
    if box_format.notation in ("paligemma", "florence") and box_format.extent is not None:
        # Bins are counted from 0, so the far edge is in the last one.
        numbers = [min(max(number, 0.0), box_format.extent - 1) for number in numbers]
    return [f"{number:.{box_format.decimals}f}" for number in numbers]


def _kosmos_cells(numbers: Sequence[float]) -> tuple[int, int]:
    last = _KOSMOS_CELLS - 1
    x0, y0 = (min(max(math.floor(value), 0), last) for value in numbers[:2])
    x1, y1 = (min(max(math.ceil(value - 1), 0), last) for value in numbers[2:])
    return y0 * _KOSMOS_CELLS + x0, y1 * _KOSMOS_CELLS + x1
