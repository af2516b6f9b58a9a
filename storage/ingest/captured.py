"""When a picture was taken: the moment, and what the clock on the wall said."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo

_EXIF_TIME = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_EXIF_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


@dataclass(frozen=True, slots=True)
class Captured:
    """A capture time.

    ``at`` has a zone. ``local`` has none: the wall clock of the place, for questions such as
    "before 5 pm"; it is None where only the day is known.
    """

    at: datetime
    local: datetime | None


def from_exif(value: str, offset: str | None, zone: tzinfo) -> Captured | None:
    """``2024:05:03 17:22:10`` and ``+08:00``; without an offset the clock is taken to be in
    ``zone``. None where it is not a time ("0000:00:00 00:00:00" is what cameras without a clock
    write).
    """
    match = _EXIF_TIME.match(value.strip("\0 "))
    if match is None:
        return None
    try:
        local = datetime(*map(int, match.groups()))  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None
    sign = _EXIF_OFFSET.fullmatch(offset.strip("\0 ")) if offset else None
    if sign is not None:
        with suppress(ValueError):  # "+99:99": the clock still counts
            return from_text(f"{local.isoformat()}{sign[1]}{sign[2]}:{sign[3]}", zone)
    try:
        return _with_zone(local, zone)
    except ValueError:
        return None


def from_text(value: str, zone: tzinfo) -> Captured:
    """ISO 8601, with or without an offset, or only a day; EXIF's form too. Raises ValueError."""
    text = value.strip()
    if (exif := _EXIF_TIME.fullmatch(text)) and text[4] == ":":
        text = f"{exif[1]}-{exif[2]}-{exif[3]}T{exif[4]}:{exif[5]}:{exif[6]}"
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return Captured(_with_zone(datetime.combine(day, time()), zone).at, None)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return _with_zone(moment, zone)
    # Out of the years that UTC can say (0001-01-01T00:00+14:00) is an OverflowError.
    try:
        return Captured(moment.astimezone(UTC), moment.replace(tzinfo=None))
    except OverflowError as error:
        raise ValueError(f"{value!r} is out of range") from error


def _with_zone(local: datetime, zone: tzinfo) -> Captured:
    try:
        return Captured(local.replace(tzinfo=zone).astimezone(UTC), local)
    except OverflowError as error:
        raise ValueError(f"{local} is out of range") from error
