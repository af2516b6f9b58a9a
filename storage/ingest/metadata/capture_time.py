"""Parse capture times from metadata, sidecars and file names."""

from __future__ import annotations

import re
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone, tzinfo

from sightline.storage.ingest.metadata.embedded_metadata import TimeTag
from sightline.storage.unicode_forms import normalize_form

# EXIF "2024:05:03 17:22:10", ISO 8601, and PDF "D:20240503172210+02'00'"; the day is enough.
_TIME = re.compile(
    r"(?:D:)?(\d{4})[:/.-]?(\d\d)[:/.-]?(\d\d)"
    r"(?:[ T]*(\d\d):?(\d\d)(?::?(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|[+-]\d\d(?:[:']?\d\d)?'?)?"
)
_OFFSET = re.compile(r"([+-])(\d\d):?'?(\d\d)?'?")
_MIN_YEAR = 1971  # of a clock in UTC; one that was never set writes 1904 or 1970
_EPOCH = re.compile(r"-?\d{9,10}(?:\.\d+)?|\d{12,13}")
_MAX_OFFSET, _ZONE_STEP = timedelta(hours=14), timedelta(minutes=15)
_MILLISECONDS = 100_000_000_000  # an epoch time above this is in milliseconds

_YEAR, _MONTH, _DAY = r"((?:19[789]|20\d)\d)", r"([01]\d)", r"([0-3]\d)"
# Between day and time: "_", "T", or the words of a system's screenshots.
_WORDS = r"at|um|[aà]|las?|la\(s\)|alle|às|om|klo?\.?|o|в|[上下]午|午[前後]|오[전후]"
_CONNECTOR = rf"(?:[-_ T.,]|(?<=\s)(?:{_WORDS})(?=[\s\d]))+"
_NAME_TIME = re.compile(
    rf"(?<!\d){_YEAR}[-_.]?{_MONTH}[-_.]?{_DAY}({_CONNECTOR})"
    r"([0-2]?\d)[-_.:h]?([0-5]\d)(?:[-_.:m]?([0-5]\d))?(?:\d{3})?(?:\s?([ap])\.?\s?m\b)?(?!\d)",
    re.IGNORECASE,
)
_NAME_DIGITS = re.compile(
    rf"(?<!\d){_YEAR}{_MONTH}{_DAY}([0-2]\d)([0-5]\d)([0-5]\d)(?:\d{{3}})?(?!\d)"
)
_NAME_EPOCH = re.compile(
    r"(?:\d{13}|(?:IMG|VID|FB_IMG|mmexport|wx_camera_|received|image|photo|video|pic)[-_]?\d{13})(?!\d)",
    re.IGNORECASE,
)
_FIRST_EPOCH, _LAST_EPOCH = datetime(2004, 1, 1, tzinfo=UTC), datetime(2034, 1, 1, tzinfo=UTC)
_NAME_DAY = re.compile(
    rf"(?<!\d){_YEAR}-{_MONTH}-{_DAY}(?!\d)"
    rf"|\b(?:IMG|VID|DSC|PXL|AUD|PTT|DOC|STK)[-_]{_YEAR}{_MONTH}{_DAY}(?!\d)",
    re.IGNORECASE,
)
_AFTERNOON, _MORNING = ("下午", "午後", "오후"), ("上午", "午前", "오전")


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When an image was taken.

    ``at`` has a time zone. ``local`` is the naive local time, for questions such as "before 5 pm";
    None if only the day is known.
    """

    at: datetime
    local: datetime | None


def first_time(times: Iterable[TimeTag], zone: tzinfo) -> CaptureTime | None:
    """Return the first of the times that is one; ``zone`` is that of wall clocks.

    If it is in UTC, a wall clock of the shot tells the zone of the place.
    """
    tags = list(times)
    for number, tag in enumerate(tags):
        if (found := from_tag(tag, zone)) is not None:
            clocks = [each for each in tags[number + 1 :] if each.kind == tag.kind]
            return (tag.is_utc and _at_place(found, clocks, zone)) or found
    return None


def _at_place(moment: CaptureTime, clocks: list[TimeTag], zone: tzinfo) -> CaptureTime | None:
    """Return a moment with the wall clock of the same shot, if they differ by a zone."""
    for each in clocks:
        clock = None if each.is_utc else from_tag(each, zone)
        if clock is None or clock.local is None:
            continue
        local = clock.local.replace(microsecond=0)
        shift = local - moment.at.replace(tzinfo=None, microsecond=0)
        if abs(shift) <= _MAX_OFFSET and shift % _ZONE_STEP == timedelta():
            return CaptureTime(moment.at, local)
    return None


def from_tag(tag: TimeTag, zone: tzinfo) -> CaptureTime | None:
    """Parse a time of EXIF, XMP, PDF or a video.

    Returns None if it is none: cameras without a clock write "0000:00:00 00:00:00", or the start
    of their epoch.
    """
    match = _TIME.fullmatch(tag.value.strip("\0 "))
    if match is None:
        return None
    year, month, day, hour, minute, second, fraction, written = match.groups()
    try:
        if hour is None:
            local = datetime(int(year), int(month), int(day))  # noqa: DTZ001
            return CaptureTime(_with_zone(local, zone).at, None)
        parts = map(int, (year, month, day, hour, minute, second or "0"))
        local = datetime(*parts).replace(microsecond=int((fraction or "0")[:6].ljust(6, "0")))  # type: ignore[arg-type]  # noqa: DTZ001
        offset = _offset(written) or _offset(tag.offset)
        if tag.is_utc:
            moment = local.replace(tzinfo=offset or UTC).astimezone(UTC)
            return _in_zone(moment, zone) if moment.year >= _MIN_YEAR else None
        return _with_zone(local, offset or zone)
    except (ValueError, OverflowError):
        return None


def from_filename(name: str, zone: tzinfo) -> CaptureTime | None:
    """Parse the time that cameras, phones and screenshots write into file names.

    Examples: ``IMG_20260501_164000``, ``DJI_20240503172210_0001``, ``Bildschirmfoto 2024-05-03 um
    17.22.10``, ``1714756930123`` (milliseconds since 1970). ``PXL_...`` is in UTC, as Google's
    camera writes it. A day alone needs separators or a camera prefix.
    """
    base = normalize_form("NFC", name.rsplit("/", 1)[-1])
    try:
        if match := _NAME_TIME.search(base):
            year, month, day, connector, hour, minute, second, half = match.groups()
            hours = _hours(int(hour), connector, (half or "").lower())
            parts = (int(year), int(month), int(day), hours, int(minute), int(second or 0))
            local = datetime(*parts)  # noqa: DTZ001
            if base.startswith("PXL_"):
                return _in_zone(local.replace(tzinfo=UTC), zone)
            return _with_zone(local, zone)
        if match := _NAME_DIGITS.search(base):
            return _with_zone(datetime(*map(int, match.groups())), zone)  # type: ignore[arg-type]  # noqa: DTZ001
        if match := _NAME_EPOCH.match(base):
            moment = datetime.fromtimestamp(int(match[0][-13:]) / 1000, UTC)
            return _in_zone(moment, zone) if _FIRST_EPOCH <= moment < _LAST_EPOCH else None
        if match := _NAME_DAY.search(base):
            return from_text("-".join(part for part in match.groups() if part), zone)
    except (ValueError, OverflowError):
        return None
    return None


def from_text(value: str, zone: tzinfo) -> CaptureTime:
    """Parse ISO 8601, a day, the EXIF format, or seconds since 1970.

    Raises ValueError.
    """
    text = value.strip()
    if _EPOCH.fullmatch(text):
        seconds = float(text)
        return _in_zone(_since_1970(seconds if seconds < _MILLISECONDS else seconds / 1000), zone)
    if (exif := _TIME.fullmatch(text)) and text[4:5] == ":":
        if (found := from_tag(TimeTag(text), zone)) is None:
            raise ValueError(f"{value!r} is no time: {exif[0]}")
        return found
    try:
        day = date.fromisoformat(text)
    except ValueError:
        pass
    else:
        return CaptureTime(_with_zone(datetime.combine(day, time()), zone).at, None)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        return _with_zone(moment, zone)
    # OverflowError: outside the years of UTC, such as 0001-01-01T00:00+14:00.
    try:
        return CaptureTime(moment.astimezone(UTC), moment.replace(tzinfo=None))
    except OverflowError as error:
        raise ValueError(f"{value!r} is out of range") from error


def _hours(hours: int, connector: str, half: str) -> int:
    """Return the hour of 24 for one with "am", "pm" or their Asian words."""
    if half == "p" or any(each in connector for each in _AFTERNOON):
        return hours % 12 + 12
    is_morning = half == "a" or any(each in connector for each in _MORNING)
    return hours % 12 if is_morning else hours


def _offset(text: str | None) -> tzinfo | None:
    """Return the zone of "+02:00", "+0200", "+02'00'" or "Z"; a broken one is none."""
    if text is None:
        return None
    text = text.strip("\0 ")
    if text == "Z":
        return UTC
    if (match := _OFFSET.fullmatch(text)) is None:
        return None
    sign, hours, minutes = match.groups()
    with suppress(ValueError):  # "+99:99": the local time is still valid
        length = timedelta(hours=int(hours), minutes=int(minutes or 0))
        return timezone(-length if sign == "-" else length)
    return None


def _since_1970(seconds: float) -> datetime:
    try:
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError(f"{seconds} seconds are out of range") from error


def _in_zone(moment: datetime, zone: tzinfo) -> CaptureTime:
    """Return a moment with the wall clock of the zone."""
    return CaptureTime(moment.astimezone(UTC), moment.astimezone(zone).replace(tzinfo=None))


def _with_zone(local: datetime, zone: tzinfo) -> CaptureTime:
    try:
        return CaptureTime(local.replace(tzinfo=zone).astimezone(UTC), local)
    except OverflowError as error:
        raise ValueError(f"{local} is out of range") from error
