"""Parse capture times from EXIF, sidecars, videos and file names."""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, tzinfo

_EXIF_TIME = re.compile(r"(\d{4})[:-](\d\d)[:-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_MIN_YEAR = 1971
_NAME_TIME = re.compile(
    r"(?<!\d)((?:19[789]|20\d)\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?:[-_ T.]| at )+"
    r"([0-2]?\d)[-_.:h]?([0-5]\d)(?:[-_.:m]?([0-5]\d))?(?:\d{3})?(?:\s?([ap])m)?(?!\d)",
    re.IGNORECASE,
)
_NAME_DAY = re.compile(
    r"(?<!\d)((?:19[789]|20\d)\d)-([01]\d)-([0-3]\d)(?!\d)"
    r"|\b(?:IMG|VID|DSC|PXL)[-_]((?:19[789]|20\d)\d)([01]\d)([0-3]\d)(?!\d)",
    re.IGNORECASE,
)
_EXIF_OFFSET = re.compile(r"([+-])(\d\d):?(\d\d)")


@dataclass(frozen=True, slots=True)
class CaptureTime:
    """When an image was taken.

    ``at`` has a time zone. ``local`` is the naive local time, for questions such as "before 5 pm";
    None if only the day is known.
    """

    at: datetime
    local: datetime | None


def from_exif(value: str, offset: str | None, zone: tzinfo) -> CaptureTime | None:
    """Parse ``2024:05:03 17:22:10`` with an offset such as ``+08:00``.

    Without an offset the time is in ``zone``. Returns None if it is not a time: cameras without a
    clock write "0000:00:00 00:00:00".
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
        with suppress(ValueError):  # "+99:99": the local time is still valid
            return from_text(f"{local.isoformat()}{sign[1]}{sign[2]}:{sign[3]}", zone)
    try:
        return _with_zone(local, zone)
    except ValueError:
        return None


def from_video(value: str, zone: tzinfo) -> CaptureTime | None:
    """Parse the ISO 8601 time of a video; UTC unless it has an offset.

    Returns None if it is not a time, or is 1904, the epoch of camera clocks.
    """
    try:
        moment = datetime.fromisoformat(value.strip())
        moment = moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)
        if moment.year < _MIN_YEAR:
            return None
        return CaptureTime(moment, moment.astimezone(zone).replace(tzinfo=None))
    except (ValueError, OverflowError):
        return None


def from_filename(name: str, zone: tzinfo) -> CaptureTime | None:
    """Parse the time that cameras, phones and screenshots write into file names.

    Examples: ``IMG_20260501_164000``, ``Screenshot 2026-05-01 at 4.40.00 PM``. ``PXL_...`` is in
    UTC, as Google's camera writes it. A day alone needs separators or a camera prefix.
    """
    base = name.rsplit("/", 1)[-1]
    if match := _NAME_TIME.search(base):
        year, month, day, hour, minute, second, half = match.groups()
        hours = int(hour)
        if half:
            hours = hours % 12 + (12 if half.lower() == "p" else 0)
        try:
            local = datetime(int(year), int(month), int(day), hours, int(minute), int(second or 0))  # noqa: DTZ001
            if base.startswith("PXL_"):
                return from_video(local.isoformat(), zone)
            return _with_zone(local, zone)
        except ValueError:
            return None
    if match := _NAME_DAY.search(base):
        with suppress(ValueError):
            return from_text("-".join(part for part in match.groups() if part), zone)
    return None


def from_text(value: str, zone: tzinfo) -> CaptureTime:
    """Parse ISO 8601, a day alone, or the EXIF format. Raises ValueError."""
    text = value.strip()
    if (exif := _EXIF_TIME.fullmatch(text)) and text[4] == ":":
        text = f"{exif[1]}-{exif[2]}-{exif[3]}T{exif[4]}:{exif[5]}:{exif[6]}"
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


def _with_zone(local: datetime, zone: tzinfo) -> CaptureTime:
    try:
        return CaptureTime(local.replace(tzinfo=zone).astimezone(UTC), local)
    except OverflowError as error:
        raise ValueError(f"{local} is out of range") from error
