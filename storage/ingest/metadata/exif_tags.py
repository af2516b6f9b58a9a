"""Read EXIF: description, camera, position and times."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from sightline.storage.ingest.metadata.embedded_metadata import (
    MAX_DESCRIPTION_CHARS,
    EmbeddedMetadata,
    TimeKind,
    TimeTag,
)

if TYPE_CHECKING:
    from PIL import Image

_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
_DESCRIPTION, _MAKE, _MODEL, _MODIFIED, _ARTIST = 0x010E, 0x010F, 0x0110, 0x0132, 0x013B
_RATING, _RATING_PERCENT = 0x4746, 0x4749
_XP_TITLE, _XP_COMMENT, _XP_AUTHOR, _XP_KEYWORDS, _XP_SUBJECT = range(0x9C9B, 0x9CA0)
_USER_COMMENT, _LENS = 0x9286, 0xA434
# (time, offset, fraction of a second)
_SHOT_TIMES: tuple[tuple[TimeKind, tuple[int, int, int]], ...] = (
    ("original", (0x9003, 0x9011, 0x9291)),
    ("digitized", (0x9004, 0x9012, 0x9292)),
)
_MODIFIED_OFFSET, _MODIFIED_FRACTION = 0x9010, 0x9290
_TIME = re.compile(r"(\d{4})[:/-](\d\d)[:/-](\d\d)[ T](\d\d):(\d\d):(\d\d)")
_MAX_TEXT_BYTES = 4 * MAX_DESCRIPTION_CHARS
_MAX_ZONE_MINUTES, _ZONE_STEP_MINUTES = 14 * 60, 15
_MAX_CLOCK_ERROR_MINUTES = 5
# What cameras write into the description of every picture.
_CAMERA_TEXT = re.compile(
    r"olympus digital camera|sony dsc|digital still camera|.{0,20}digital camera|minolta.*|samsung|"
    r"default|untitled|dcim\\.*|ascii|unicode|dji|"
    r"(?:dav|mde|hdr|hdrpl|cof|rhdr|sdr|bty|ptr|ptsh|rpt|rptfnt|edf|nor|fbt|pp)(?:_\w*)?",
    re.IGNORECASE | re.DOTALL,
)
_LEGAL_ENDING = re.compile(
    r"\s+(?:corporation|corp\.?|co\.?,? ltd\.?|inc\.?|imaging corp\.?)$", re.I
)


def read_exif(exif: Image.Exif) -> EmbeddedMetadata:
    """Return the metadata of an EXIF block; Pillow raises anything on a hostile one."""
    main: Mapping[int, Any] = exif
    shot, gps = exif.get_ifd(_EXIF_IFD), exif.get_ifd(_GPS_IFD)
    descriptions = (
        _text(main.get(_DESCRIPTION)),
        _wide_text(main.get(_XP_COMMENT)),
        _wide_text(main.get(_XP_SUBJECT)),
        _user_comment(shot.get(_USER_COMMENT), exif.endian or "<"),
    )
    keywords = (_wide_text(main.get(_XP_KEYWORDS)) or "").split(";")
    return EmbeddedMetadata(
        title=_wide_text(main.get(_XP_TITLE)),
        description=next((each for each in descriptions if each and is_written(each)), None),
        keywords=tuple(keywords),
        rating=_rating(main),
        author=_text(main.get(_ARTIST)) or _wide_text(main.get(_XP_AUTHOR)),
        camera=camera_name(_text(main.get(_MAKE)), _text(main.get(_MODEL))),
        lens=_text(shot.get(_LENS)),
        position=_position(gps),
        times=tuple(_times(main, shot, gps)),
    )


def is_written(description: str) -> bool:
    """Return whether a person wrote a description, and not a camera for every picture."""
    return _CAMERA_TEXT.fullmatch(description.strip()) is None


def camera_name(make: str | None, model: str | None) -> str | None:
    """Return the maker and the model, without the maker twice.

    >>> camera_name("NIKON CORPORATION", "NIKON D70"), camera_name("Apple", "iPhone 7")
    ('NIKON D70', 'Apple iPhone 7')
    """
    maker = _LEGAL_ENDING.sub("", (make or "").strip())
    name = (model or "").strip()
    words = maker.casefold().split()
    if words and name and name.casefold().split()[0] == words[0]:
        return name
    return f"{maker} {name}".strip() or None


def _times(
    main: Mapping[int, Any], shot: Mapping[int, Any], gps: Mapping[int, Any]
) -> Iterator[TimeTag]:
    """Yield the times of shot, satellites and change, and the day of GPS."""
    satellites, has_time = _gps_time(gps)
    for kind, (time, offset, fraction) in _SHOT_TIMES:
        if value := _text(shot.get(time)):
            zone = _text(shot.get(offset)) or zone_between(value, satellites if has_time else None)
            yield TimeTag(_with_fraction(value, _text(shot.get(fraction))), kind, zone)
    if satellites and has_time:
        yield TimeTag(satellites, "satellites", is_utc=True)
    if value := _text(main.get(_MODIFIED)):
        zone = _text(shot.get(_MODIFIED_OFFSET))
        yield TimeTag(_with_fraction(value, _text(shot.get(_MODIFIED_FRACTION))), "modified", zone)
    if satellites and not has_time:
        yield TimeTag(satellites, "day")


def zone_between(local: str, utc: str | None) -> str | None:
    """Return the offset of a wall clock to the satellites, such as "+02:00".

    None if they differ by no whole quarter of an hour, or one is missing.
    """
    moments = [_TIME.match(each) for each in (local, utc or "")]
    try:
        here, there = (datetime(*map(int, each.groups())) for each in moments if each)  # type: ignore[arg-type]  # noqa: DTZ001
    except ValueError:
        return None
    minutes = (here - there) / timedelta(minutes=1)
    zone = round(minutes / _ZONE_STEP_MINUTES) * _ZONE_STEP_MINUTES
    if abs(zone) > _MAX_ZONE_MINUTES or abs(minutes - zone) > _MAX_CLOCK_ERROR_MINUTES:
        return None
    return f"{'-' if zone < 0 else '+'}{abs(zone) // 60:02}:{abs(zone) % 60:02}"


def _gps_time(gps: Mapping[int, Any]) -> tuple[str | None, bool]:
    """Return the date of GPS, with the time in UTC, and whether it has one."""
    date = (_text(gps.get(29)) or "").replace("-", ":")
    if not re.fullmatch(r"\d{4}:\d\d:\d\d", date):
        return None, False
    try:
        hours, minutes, seconds = (float(each) for each in gps[7])
        clock = f"{int(hours):02}:{int(minutes):02}:{int(seconds):02}"
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return date, False
    return f"{date} {clock}", True


def _position(gps: Mapping[int, Any]) -> tuple[float, float] | None:
    """Return (latitude, longitude) in degrees; V is a status without signal."""
    if _text(gps.get(9)) == "V":
        return None
    try:
        latitude, longitude = _degrees(gps[2]), _degrees(gps[4])
    except (KeyError, TypeError, ValueError, ArithmeticError):
        return None
    if (_text(gps.get(1)) or "N").upper().startswith("S"):
        latitude = -latitude
    if (_text(gps.get(3)) or "E").upper().startswith("W"):
        longitude = -longitude
    return (latitude, longitude) if math.isfinite(latitude + longitude) else None


def _degrees(values: Any) -> float:
    parts = [float(each) for each in (values if isinstance(values, tuple) else (values,))]
    return math.fsum(part / 60**power for power, part in enumerate(parts[:3]))


def _rating(main: Mapping[int, Any]) -> int | None:
    rating, percent = main.get(_RATING), main.get(_RATING_PERCENT)
    if isinstance(rating, int) and rating:
        return rating
    return stars_of_percent(percent) if isinstance(percent, int) and percent else None


def stars_of_percent(percent: float) -> int:
    """Return 1 to 5 stars for the percentages of Windows: 1, 25, 50, 75, 99."""
    return 1 + round(min(max(percent, 0), 100) / 25) if percent else 0


def _with_fraction(value: str, fraction: str | None) -> str:
    digits = (fraction or "").strip()[:6]
    return (
        f"{value}.{digits}" if digits.isascii() and digits.isdigit() and len(value) == 19 else value
    )


def _text(value: Any) -> str | None:
    """Return a text in UTF-8, as programs write it, though EXIF allows ASCII."""
    if isinstance(value, bytes):
        value = value.decode("latin-1")
    if not isinstance(value, str):
        return None
    value = value[:_MAX_TEXT_BYTES].split("\0", 1)[0].strip()
    try:
        return value.encode("latin-1").decode("utf-8") or None
    except UnicodeError:
        return value or None


def _wide_text(value: Any) -> str | None:
    """Return the text of a tag of Windows, in UTF-16."""
    if isinstance(value, tuple):
        value = bytes(each & 0xFF for each in value[:_MAX_TEXT_BYTES] if isinstance(each, int))
    if not isinstance(value, bytes):
        return _text(value)
    return value[:_MAX_TEXT_BYTES].decode("utf-16-le", "replace").split("\0", 1)[0].strip() or None


def _user_comment(value: Any, endian: str) -> str | None:
    """Return the user's comment: 8 bytes that name its encoding, then the text."""
    if not isinstance(value, bytes):
        return _text(value)
    code, text = value[:8], value[8:_MAX_TEXT_BYTES]
    if code == b"UNICODE\0":
        return _utf16(text, endian)
    if code == b"JIS\0\0\0\0\0":
        return text.decode("iso2022_jp", "replace").strip("\0 ") or None
    if code in (b"ASCII\0\0\0", bytes(8)):
        return _text(text)
    return None


def _utf16(text: bytes, endian: str) -> str | None:
    """Decode UTF-16, whose byte order should be that of the file and often is not."""
    if text[:2] in (b"\xff\xfe", b"\xfe\xff"):
        decoded = text.decode("utf-16", "replace")
    else:
        orders = ("utf-16-be", "utf-16-le") if endian == ">" else ("utf-16-le", "utf-16-be")
        candidates = [text.decode(order, "replace") for order in orders]
        decoded = max(candidates, key=_share_of_common_characters)
    return decoded.split("\0", 1)[0].strip() or None


def _share_of_common_characters(text: str) -> float:
    start = text[:200].rstrip("\0")
    return sum(each.isascii() and each != "\0" for each in start) / max(1, len(start))
