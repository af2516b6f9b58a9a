"""Read the JSON files that Google Takeout puts beside pictures and videos."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from sightline.storage.ingest.metadata.embedded_metadata import (
    EmbeddedMetadata,
    NamedRegion,
    TimeTag,
    clean_position,
)

_KEYS = ("photoTakenTime", "geoData", "geoDataExif", "googlePhotosOrigin")
_ALBUM_KEYS = ("albumData", "sharedAlbumComments", "enrichments", "externalOrders")


def is_takeout(values: Mapping[str, Any]) -> bool:
    """Return whether a JSON object describes a picture or video of Google Photos."""
    return isinstance(values.get("title"), str) and any(
        isinstance(values.get(key), dict) for key in _KEYS
    )


def is_takeout_album(values: Mapping[str, Any]) -> bool:
    """Return whether a JSON object describes an album of Google Photos."""
    return any(key in values for key in _ALBUM_KEYS) or (
        isinstance(values.get("title"), str) and {"access", "date"} <= values.keys()
    )


def read_takeout(values: Mapping[str, Any]) -> EmbeddedMetadata:
    """Return the metadata; the title is the name of the file, so it is left out."""
    people = values.get("people")
    description = values.get("description")
    return EmbeddedMetadata(
        description=description if isinstance(description, str) else None,
        people=tuple(
            NamedRegion(each["name"])
            for each in (people if isinstance(people, list) else ())
            if isinstance(each, dict) and isinstance(each.get("name"), str)
        ),
        position=next(_positions(values), None),
        times=tuple(_times(values)),
    )


def _positions(values: Mapping[str, Any]) -> Iterator[tuple[float, float]]:
    """Yield the position that a person set, and that of the camera."""
    for key in ("geoData", "geoDataExif"):
        geo = values.get(key)
        latitude, longitude = (
            (geo.get("latitude"), geo.get("longitude")) if isinstance(geo, dict) else (None, None)
        )
        if isinstance(latitude, int | float) and isinstance(longitude, int | float):
            position = clean_position((latitude, longitude))
            if position is not None:
                yield position


def _times(values: Mapping[str, Any]) -> Iterator[TimeTag]:
    taken = values.get("photoTakenTime")
    seconds = taken.get("timestamp") if isinstance(taken, dict) else None
    try:
        moment = datetime.fromtimestamp(int(str(seconds)), UTC)
    except (ValueError, OverflowError, OSError):
        return
    yield TimeTag(moment.strftime("%Y-%m-%dT%H:%M:%S"), "original", is_utc=True)
