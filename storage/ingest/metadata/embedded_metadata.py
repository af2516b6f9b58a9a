"""The metadata inside a file, or beside it, in one form for all formats.

Everything comes from strangers: `EmbeddedMetadata.bounded` removes what is too long, invisible or
no number. Worker and parent both apply it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, get_args

from sightline.storage.text.hidden_characters import remove_hidden
from sightline.storage.types import Box

MAX_NAME_CHARS = 200
"""Of a keyword, a name of a person, a camera and the like."""
MAX_TITLE_CHARS = 1_000
MAX_DESCRIPTION_CHARS = 20_000
MAX_KEYWORDS = 300
MAX_BOXES = 1_000
"""Of people, and of labels."""
_MAX_TIMES = 8
_MAX_PLACES = 8
_MAX_RATING = 5
_MAX_PIXELS = 1_000_000
_BOX_DIGITS = 5  # so that the corners differ in the database too


TimeKind = Literal["original", "created", "digitized", "satellites", "modified", "day"]
"""Most likely to be the time of capture first: ``day`` is the day of GPS without a time."""
_TIME_KINDS: tuple[TimeKind, ...] = get_args(TimeKind)


@dataclass(frozen=True, slots=True)
class TimeTag:
    """A time as written, EXIF or ISO 8601.

    ``offset`` is one that is written elsewhere, such as "+02:00". Without any offset it is a wall
    clock, or UTC if ``is_utc``.
    """

    value: str
    kind: TimeKind = "original"
    offset: str | None = None
    is_utc: bool = False


@dataclass(frozen=True, slots=True)
class NamedRegion:
    """A label, and its box if it has a place: normalized corners in the upright image.

    ``in_pixels``: the corners are in pixels of the upright image instead.
    """

    label: str
    box: Box | None = None
    in_pixels: bool = False

    def normalized(self, width: int, height: int) -> NamedRegion:
        """Return the region in an image of this size, without a box outside of it."""
        if self.box is None or not self.in_pixels:
            return self
        x0, y0, x1, y1 = self.box
        return NamedRegion(
            self.label, clean_box((x0 / width, y0 / height, x1 / width, y1 / height))
        )


@dataclass(frozen=True, slots=True)
class EmbeddedMetadata:
    """What a file says about itself.

    ``place`` has names as written, from the closest (a building, a city) to the country.
    ``position`` is (latitude, longitude) in degrees. ``times`` may be when it was taken, the most
    likely first. ``rating`` is 0 to 5, or -1 for rejected. ``labels`` are boxes of things, from
    annotation files.
    """

    title: str | None = None
    description: str | None = None
    keywords: tuple[str, ...] = ()
    rating: int | None = None
    people: tuple[NamedRegion, ...] = ()
    labels: tuple[NamedRegion, ...] = ()
    author: str | None = None
    camera: str | None = None
    lens: str | None = None
    place: tuple[str, ...] = ()
    position: tuple[float, float] | None = None
    times: tuple[TimeTag, ...] = ()

    def __bool__(self) -> bool:
        return any(getattr(self, field.name) not in (None, ()) for field in fields(self))

    def bounded(self) -> EmbeddedMetadata:
        """Return what may be stored."""
        rating = self.rating
        return EmbeddedMetadata(
            title=clean_text(self.title, MAX_TITLE_CHARS),
            description=clean_text(self.description, MAX_DESCRIPTION_CHARS),
            keywords=clean_names(self.keywords, MAX_KEYWORDS),
            rating=None if rating is None else max(-1, min(rating, _MAX_RATING)),
            people=_clean_boxes(self.people),
            labels=_clean_boxes(self.labels),
            author=clean_text(self.author, MAX_NAME_CHARS),
            camera=clean_text(self.camera, MAX_NAME_CHARS),
            lens=clean_text(self.lens, MAX_NAME_CHARS),
            place=clean_names(self.place, _MAX_PLACES),
            position=clean_position(self.position),
            times=tuple(_clean_times(self.times)),
        )

    def or_else(self, other: EmbeddedMetadata) -> EmbeddedMetadata:
        """Return the metadata with the values of ``other`` where it has none itself.

        Times of the same kind stay in this order.
        """
        missing: dict[str, Any] = {
            field.name: getattr(other, field.name)
            for field in fields(self)
            if getattr(self, field.name) in (None, ())
        }
        times = sorted((*self.times, *other.times), key=lambda each: _TIME_KINDS.index(each.kind))
        return replace(self, **{**missing, "times": tuple(dict.fromkeys(times))})


NO_METADATA = EmbeddedMetadata()


def clean_text(text: str | None, max_chars: int) -> str | None:
    """Return a text that people see, or None if nothing of it is left."""
    if text is None:
        return None
    text = text[: 4 * max_chars]
    if not (text.isascii() and text.isprintable()):
        text = remove_hidden(text)
    return text.strip()[:max_chars].strip() or None


def clean_names(names: Sequence[str], max_names: int) -> tuple[str, ...]:
    """Return the first names without repeats."""
    cleaned = (clean_text(each, MAX_NAME_CHARS) for each in names[: 10 * max_names])
    return tuple(dict.fromkeys(each for each in cleaned if each))[:max_names]


def split_keywords(text: str | None) -> tuple[str, ...]:
    """Return the keywords of a text that separates them by commas or semicolons."""
    return tuple(filter(None, map(str.strip, (text or "").replace(";", ",").split(","))))


def clean_position(position: tuple[float, float] | None) -> tuple[float, float] | None:
    """Return the position, or None; without signal receivers write (0, 0)."""
    if position is None or position == (0, 0):
        return None
    latitude, longitude = position
    if not (abs(latitude) <= 90 and abs(longitude) <= 180):  # also for NaN
        return None
    return float(latitude), float(longitude)


def clean_box(box: Sequence[float]) -> Box | None:
    """Return the part of a normalized box inside the image; None if there is none."""
    if len(box) != 4 or not all(map(math.isfinite, box)):
        return None
    x0, y0, x1, y1 = (round(min(max(float(value), 0.0), 1.0), _BOX_DIGITS) for value in box)
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None


def _clean_pixels(box: Box) -> Box | None:
    x0, y0, x1, y1 = box
    if not all(map(math.isfinite, box)):
        return None
    return (
        box
        if -_MAX_PIXELS < x0 < x1 < _MAX_PIXELS and -_MAX_PIXELS < y0 < y1 < _MAX_PIXELS
        else None
    )


def _clean_boxes(boxes: Sequence[NamedRegion]) -> tuple[NamedRegion, ...]:
    cleaned: dict[NamedRegion, None] = {}
    for each in boxes[: 4 * MAX_BOXES]:
        if label := clean_text(each.label, MAX_NAME_CHARS):
            box = each.box
            if box is not None:
                box = _clean_pixels(box) if each.in_pixels else clean_box(box)
            cleaned[NamedRegion(label, box, each.in_pixels and box is not None)] = None
    return tuple(cleaned)[:MAX_BOXES]


def _clean_times(times: Sequence[TimeTag]) -> Iterable[TimeTag]:
    for each in times[:_MAX_TIMES]:
        if value := clean_text(each.value, 64):
            yield replace(each, value=value, offset=clean_text(each.offset, 16))
