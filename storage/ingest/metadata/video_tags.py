"""Read the tags of video containers: QuickTime, Android's MP4, Matroska."""

from __future__ import annotations

import re
from collections.abc import Mapping

from sightline.storage.ingest.metadata.embedded_metadata import (
    EmbeddedMetadata,
    TimeTag,
    split_keywords,
)
from sightline.storage.ingest.metadata.exif_tags import camera_name

_APPLE = "com.apple.quicktime."
_ANDROID = "com.android."
_POSITION = re.compile(r"([+-]\d+(?:\.\d+)?)([+-]\d+(?:\.\d+)?)(?:[+-]\d+(?:\.\d+)?)?(?:CRS.*)?/?")


def read_video_tags(tags: Mapping[str, str]) -> EmbeddedMetadata:
    """Return the metadata for tags of a container, with names in lower case.

    Apple's creation date has the zone of the place. The creation time of the container is in UTC.
    """

    def first(*names: str) -> str | None:
        return next((tags[name] for name in names if tags.get(name)), None)

    times = []
    if local := first(f"{_APPLE}creationdate", "date_recorded", "date"):
        times.append(TimeTag(local, "original"))
    if utc := first("creation_time"):
        times.append(TimeTag(utc, "digitized", is_utc=True))
    rating = first(f"{_APPLE}rating.user", "rating")
    return EmbeddedMetadata(
        title=first(f"{_APPLE}title", f"{_APPLE}displayname", "title"),
        description=first(f"{_APPLE}description", "description", "synopsis", "comment"),
        keywords=split_keywords(first(f"{_APPLE}keywords", "keywords")),
        rating=int(rating) if rating and rating.isdecimal() and len(rating) == 1 else None,
        author=first(f"{_APPLE}author", "artist", "author"),
        camera=camera_name(
            first(f"{_APPLE}make", f"{_ANDROID}manufacturer", "make"),
            first(f"{_APPLE}model", f"{_ANDROID}model", "model"),
        ),
        place=tuple(filter(None, [first("location-name")])),
        position=parse_position(first(f"{_APPLE}location.iso6709", "location", "location-eng")),
        times=tuple(times),
    ).bounded()


def parse_position(text: str | None) -> tuple[float, float] | None:
    """Parse degrees in ISO 6709, such as "+48.8577+002.2950+035.0/"."""
    match = _POSITION.fullmatch((text or "").strip())
    return (float(match[1]), float(match[2])) if match else None
