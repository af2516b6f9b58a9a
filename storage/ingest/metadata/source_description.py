"""Describe a source by its sidecar, its metadata and its name, in this order."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import tzinfo
from typing import Any

from sightline.storage.ingest.discover.sidecars import Sidecar, WarningSink
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.metadata.capture_time import (
    CaptureTime,
    first_time,
    from_filename,
    from_text,
)
from sightline.storage.ingest.metadata.embedded_metadata import EmbeddedMetadata, NamedRegion
from sightline.storage.ingest.metadata.places import Place, place_finder

_NO_PLACE = Place()
_NAME_KEYS = ("keywords", "tags", "people", "labels", "place", "author")


@dataclass(frozen=True, slots=True)
class SourceDescription:
    """What is stored about a whole source besides its content.

    ``caption`` is that of its assets, and ``caption_text`` what a search finds as caption: also the
    title of a document. ``words`` are keywords, names (of authors too) and places, as written.
    ``regions`` have a box, in the upright picture.
    """

    caption: str | None = None
    caption_text: str | None = None
    words: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    position: tuple[float, float] | None = None
    captured: CaptureTime | None = None
    regions: tuple[NamedRegion, ...] = ()


NO_DESCRIPTION = SourceDescription()


async def describe_source(
    name: str,
    kind: str,
    sidecar: Sidecar | None,
    embedded: EmbeddedMetadata,
    options: IngestOptions,
    zone: tzinfo,
    warn: WarningSink,
) -> SourceDescription:
    """Return the description of a source of this name and kind.

    The sidecar wins over the metadata in the file, key by key, and that over the file name.
    ``zone`` is that of wall clocks at an unknown place.
    """
    embedded = embedded.bounded()
    if sidecar is not None:
        embedded = sidecar.embedded.bounded().or_else(embedded)
    if not options.keep_location:
        embedded = replace(embedded, position=None, place=())
    if not options.keep_people:
        embedded = replace(embedded, people=())
    place = _NO_PLACE
    if embedded.position is not None:
        finder = await asyncio.to_thread(place_finder)
        place = finder.find(embedded.position)
        embedded = replace(embedded, place=_without_repeats((*embedded.place, *place.names)))
    zone = place.zone or zone
    metadata = {**_metadata(embedded), **(sidecar.metadata if sidecar else {})}
    own = sidecar.caption if sidecar else None
    caption = own or _caption(embedded)
    return SourceDescription(
        caption=caption if kind == "image" else own,
        caption_text=caption,
        words="\n".join(_words(metadata)) or None,
        metadata=metadata,
        position=embedded.position,
        captured=_sidecar_time(name, sidecar, zone, warn)
        or first_time(embedded.times, zone)
        or from_filename(name, zone),
        regions=tuple(each for each in (*embedded.people, *embedded.labels) if each.box),
    )


def _sidecar_time(
    name: str, sidecar: Sidecar | None, zone: tzinfo, warn: WarningSink
) -> CaptureTime | None:
    if sidecar is None or sidecar.captured_at is None:
        return None
    try:
        return from_text(sidecar.captured_at, zone)
    except ValueError:
        reason = f"captured_at is {sidecar.captured_at[:100]!r}; it must be an ISO 8601 time"
        warn("sidecar_broken", name, reason)
        return None


def _caption(embedded: EmbeddedMetadata) -> str | None:
    title, description = embedded.title, embedded.description
    if title and description and title not in description:
        return f"{title}\n{description}"
    return description or title


def _metadata(embedded: EmbeddedMetadata) -> dict[str, Any]:
    """Return the keys that filters and results show."""
    values = {
        "title": embedded.title,
        "keywords": list(embedded.keywords),
        "rating": embedded.rating,
        "people": _labels(embedded.people),
        "labels": _labels(embedded.labels),
        "place": list(embedded.place),
        "camera": embedded.camera,
        "lens": embedded.lens,
        "author": embedded.author,
    }
    return {name: value for name, value in values.items() if value not in (None, [])}


def _words(metadata: Mapping[str, Any]) -> Iterator[str]:
    """Yield lines of names, without headings: every picture would have those."""
    for key in _NAME_KEYS:
        value = metadata.get(key)
        names = value if isinstance(value, list) else [value]
        if line := ", ".join(each for each in names if isinstance(each, str)):
            yield line


def _labels(regions: tuple[NamedRegion, ...]) -> list[str]:
    return list(dict.fromkeys(each.label for each in regions))


def _without_repeats(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple({each.casefold(): each for each in reversed(names)}.values())[::-1]
