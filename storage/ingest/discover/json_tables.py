"""Parse JSON files that describe others: captions, COCO and VIA annotations.

Such a file is recognized by its content. It applies to its folder and those below. A file name
without a folder is that of a file in any of them.
"""

from __future__ import annotations

import gc
import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import PurePosixPath
from typing import Any

from sightline.storage.errors import MediaError
from sightline.storage.ingest.discover.caption_tables import (
    FILE_KEYS,
    MAX_ROWS,
    CaptionTable,
    SidecarTable,
    add_row,
    normalize_path,
)
from sightline.storage.ingest.discover.sidecars import (
    CAPTION_KEYS,
    Sidecar,
    WarningSink,
    parse_json,
    parse_mapping,
)
from sightline.storage.ingest.formats import file_type_of
from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_BOXES,
    MAX_NAME_CHARS,
    EmbeddedMetadata,
    NamedRegion,
)
from sightline.storage.ingest.metadata.takeout import is_takeout, is_takeout_album
from sightline.storage.types import Box

MAX_JSON_BYTES = 64 << 20
_MAX_CAPTIONS = 100  # of one picture
_LISTS = ("images", "data", "items", "files", "annotations", "photos")
_VIA_LABELS = ("label", "name", "class", "category", "type", "object")
_DESCRIBED = ("image", "video", "pdf", "document", "text", "audio")
_SAMPLED = 100
_MAX_OBJECTS = 2_000_000  # of one list; real ones have 32 bytes or more each

Marks = list[tuple[str, Box | None, bool]]
"""Label, box and whether it is in pixels."""


@dataclass(slots=True)
class AnnotationTable:
    """Captions and labels by file name, relative to the table's folder."""

    name: str
    captions: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    marks: defaultdict[str, Marks] = field(default_factory=lambda: defaultdict(list))

    def lookup(self, path: str, warn: WarningSink) -> Sidecar | None:
        """Return the captions and labels of a file."""
        key = normalize_path(path)
        if key not in self.captions and key not in self.marks:
            key = PurePosixPath(key).name
        captions, marks = self.captions.get(key), self.marks.get(key)
        if not captions and not marks:
            return None
        try:
            sidecar = parse_mapping({"caption": captions} if captions else {})
        except ValueError as error:
            warn("sidecar_broken", self.name, f"the captions of {path!r}: {error}")
            sidecar = Sidecar(None, {}, None)
        labels = tuple(NamedRegion(*mark) for mark in marks or ())
        embedded = EmbeddedMetadata(labels=labels).bounded()
        return Sidecar(sidecar.caption, {}, None, embedded=embedded)


def parse_json_table(
    name: str, data: bytes, warn: WarningSink, report_alive: Callable[[], None] = lambda: None
) -> SidecarTable | None:
    """Index a JSON file that describes other files; None if it describes none.

    ``name`` is used in warnings. ``report_alive`` is called for each entry. Files of Google Takeout
    without their picture are empty tables. Raises ValueError or MediaError if it is no JSON.
    """
    with _without_collector():
        value = parse_json(data)
        return _table_of(name, value, warn, report_alive)


def is_question_list(data: bytes) -> bool:
    """Return whether JSON Lines are questions about other files with answers.

    `sightline eval` reads such a file. As text it would be found instead of what it asks about.
    """
    lines = islice((line for line in data.splitlines() if line.strip()), _SAMPLED)
    try:
        rows = [parse_json(line) for line in lines]
    except (ValueError, MediaError):
        return False
    files = [_question_file(row) for row in rows]
    return None not in files and _describe_files(file for file in files if file is not None)


def _question_file(row: object) -> str | None:
    """Return the file that a row asks about; None if it is no question with an answer."""
    if not isinstance(row, dict) or not {"question", "answer"} <= row.keys():
        return None
    return next((row[key] for key in FILE_KEYS if isinstance(row.get(key), str)), None)


def _table_of(
    name: str, value: object, warn: WarningSink, report_alive: Callable[[], None]
) -> SidecarTable | None:
    if isinstance(value, dict):
        if is_takeout(value) or is_takeout_album(value):
            return CaptionTable(name)
        if isinstance(value.get("images"), list) and isinstance(value.get("annotations"), list):
            return _parse_coco(name, value, warn, report_alive)
        via = value.get("_via_img_metadata", value)
        if isinstance(via, dict) and _is_via(via):
            return _parse_via(name, via.values(), report_alive)
    rows = list(islice(_rows(value), MAX_ROWS))
    if not _describe_files(file for file, _ in rows[:_SAMPLED]):
        return None
    table = CaptionTable(name)
    for number, (file, row) in enumerate(rows, 1):
        report_alive()
        add_row(table, file, json.dumps(row, ensure_ascii=False), number, warn)
    return table


@contextmanager
def _without_collector() -> Iterator[None]:
    """Collect no cycles: JSON has none, and looking for them takes most of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _rows(value: object) -> Iterator[tuple[object, dict[str, Any]]]:
    """Yield file names with what a list, or an object by name, says of them."""
    if isinstance(value, dict):
        for key in _LISTS:
            if isinstance(value.get(key), list):
                yield from _rows(value[key])
                return
        for file, row in value.items():
            if isinstance(row, dict):
                yield file, row
            elif isinstance(row, str | list):
                yield file, {CAPTION_KEYS[0]: row}
        return
    for row in islice(value, _MAX_OBJECTS) if isinstance(value, list) else ():
        if isinstance(row, dict):
            file = next((row[key] for key in FILE_KEYS if isinstance(row.get(key), str)), None)
            if file is not None:
                yield file, row


def _describe_files(names: Iterable[object]) -> bool:
    """Return whether most of the names are those of files that can be described."""
    listed = list(names)
    files = [each for each in listed if isinstance(each, str) and file_type_of(each) in _DESCRIBED]
    return bool(listed) and 2 * len(files) >= len(listed)


def _parse_coco(
    name: str, value: Mapping[str, Any], warn: WarningSink, report_alive: Callable[[], None]
) -> AnnotationTable:
    """Index annotations in the format of COCO: boxes in pixels, or captions."""
    table = AnnotationTable(name)
    categories = {
        str(each.get("id")): str(each.get("name"))[:MAX_NAME_CHARS]
        for each in _objects(value.get("categories"))
    }
    images = {str(each.get("id")): each for each in _objects(value["images"])}
    unknown = 0
    for each in _objects(value["annotations"]):
        report_alive()
        image = images.get(str(each.get("image_id")))
        file = image.get("file_name") if image else None
        if image is None or not isinstance(file, str):
            unknown += 1
            continue
        key = normalize_path(file)
        if isinstance(caption := each.get("caption"), str):
            if len(table.captions[key]) < _MAX_CAPTIONS:
                table.captions[key].append(caption)
        elif (label := categories.get(str(each.get("category_id")))) is not None:
            _mark(table, key, label, *_coco_box(each.get("bbox"), image))
    if unknown:
        warn("sidecar_broken", name, f"has {unknown:,} annotations of images that it does not list")
    return table


def _coco_box(bbox: object, image: Mapping[str, Any]) -> tuple[Box | None, bool]:
    """Return the corners of (x, y, width, height), normalized if the size is known."""
    numbers = _numbers(bbox)
    if len(numbers) != 4:
        return None, False
    x, y, width, height = numbers
    box = (x, y, x + width, y + height)
    size = _numbers([image.get("width"), image.get("height")])
    if len(size) == 2 and min(size) > 0:
        return (box[0] / size[0], box[1] / size[1], box[2] / size[0], box[3] / size[1]), False
    return box, True


def _is_via(files: Mapping[str, Any]) -> bool:
    first = next(iter(files.values()), None)
    return isinstance(first, dict) and isinstance(first.get("filename"), str) and "regions" in first


def _parse_via(
    name: str, files: Iterable[object], report_alive: Callable[[], None]
) -> AnnotationTable:
    """Index annotations of the VGG Image Annotator: shapes in pixels."""
    table = AnnotationTable(name)
    for each in files:
        if not isinstance(each, dict) or not isinstance(each.get("filename"), str):
            continue
        key = normalize_path(each["filename"])
        for attribute in CAPTION_KEYS:
            attributes = each.get("file_attributes")
            caption = attributes.get(attribute) if isinstance(attributes, dict) else None
            if isinstance(caption, str) and caption:
                table.captions[key].append(caption)
        regions = each.get("regions")
        for region in _objects(regions.values() if isinstance(regions, dict) else regions):
            report_alive()
            shape, attributes = region.get("shape_attributes"), region.get("region_attributes")
            label = _via_label(attributes if isinstance(attributes, dict) else {})
            if label and isinstance(shape, dict):
                _mark(table, key, label, _via_box(shape), True)
    return table


def _via_label(attributes: Mapping[str, Any]) -> str | None:
    """Return the name of a region: a known attribute, or the first one with a text."""
    for key in (*_VIA_LABELS, *attributes):
        value = attributes.get(key)
        if isinstance(value, dict):  # check boxes
            value = ", ".join(str(name) for name, is_set in value.items() if is_set)
        if isinstance(value, str) and value.strip():
            return value[:MAX_NAME_CHARS]
    return None


def _via_box(shape: Mapping[str, Any]) -> Box | None:
    """Return the corners around a rectangle, circle, ellipse, polygon or line."""
    xs, ys = _numbers(shape.get("all_points_x")), _numbers(shape.get("all_points_y"))
    corner = _numbers([shape.get(key) for key in ("x", "y", "width", "height")])
    center = _numbers([shape.get("cx"), shape.get("cy")])
    radiuses = _numbers([shape.get("rx", shape.get("r")), shape.get("ry", shape.get("r"))])
    if len(corner) == 4:
        return (corner[0], corner[1], corner[0] + corner[2], corner[1] + corner[3])
    if len(center) == len(radiuses) == 2:
        (x, y), (rx, ry) = center, radiuses
        return (x - rx, y - ry, x + rx, y + ry)
    return (min(xs), min(ys), max(xs), max(ys)) if xs and ys else None


def _mark(table: AnnotationTable, key: str, label: str, box: Box | None, in_pixels: bool) -> None:
    if len(table.marks[key]) < MAX_BOXES:
        table.marks[key].append((label, box, in_pixels))


def _objects(values: object) -> Iterator[dict[str, Any]]:
    """Yield the objects among the first values of a list."""
    listed = values if isinstance(values, Iterable) and not isinstance(values, str) else ()
    for each in islice(listed, _MAX_OBJECTS):
        if isinstance(each, dict):
            yield each


def _numbers(values: object) -> list[float]:
    """Return the values if all are finite numbers, else nothing."""
    if not isinstance(values, list) or not all(
        isinstance(each, int | float) and abs(each) < 1e9 and math.isfinite(each) for each in values
    ):
        return []
    return [float(each) for each in values]
