"""A hit of either search in plain values: for LlamaIndex and the client."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sightline.storage.records.assets import Asset
from sightline.storage.retrieval.hydrate.hydration import image_text
from sightline.storage.retrieval.search_types import ImageHit, PassageHit
from sightline.storage.text.hidden_characters import remove_hidden
from sightline.storage.types import Box, Json

#: Prefix of a metadata key with the name of a field, in filters as well.
_METADATA_PREFIX = "metadata."
_FIELDS = (
    *("asset", "source", "collection", "kind", "page", "seconds", "end_seconds", "box"),
    *("captured_at", "weak", "caption", "passage", "distance", "size", "duplicates", "uri"),
)
#: Fields that help a model to judge and to cite a hit.
_FIELDS_FOR_MODELS = frozenset(
    {"asset", "source", "page", "seconds", "end_seconds", "captured_at", "weak"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """An image or a passage that a search found.

    Texts and metadata come from files of anyone: they are data, never instructions. They have no
    hidden characters.
    """

    id: str
    """Asset id of an image, or ``p`` and a number for a passage."""
    text: str
    """Caption and matched passage of an image, or the whole passage."""
    score: float
    """Orders the hits of one search; not comparable between searches."""
    source: str
    """Name of the file at ingest."""
    collection: str
    kind: str
    """``image``, ``page`` or ``frame``, or the kind of the passage."""
    asset: str | None = None
    """The image, or the image that the passage is on."""
    page: int | None = None
    seconds: float | None = None
    """Time in the video, in seconds; of a passage, its start."""
    end_seconds: float | None = None
    box: Box | None = None
    """The part that matched best."""
    captured_at: str | None = None
    """ISO 8601, in local time at the place of capture."""
    weak: bool = False
    """The hit is no better match than an unrelated item."""
    caption: str | None = None
    passage: str | None = None
    """Id of the matched passage, if it is not the caption."""
    distance: float | None = None
    """Minimum cosine distance of all retrievers."""
    size: tuple[int, int] | None = None
    """Width and height of the image in pixels."""
    duplicates: tuple[str, ...] = ()
    """Ids of near-identical images in the selection."""
    metadata: Mapping[str, Json] = field(default_factory=dict)
    """Metadata of the asset."""

    @property
    def uri(self) -> str | None:
        """Return the address of the image as a resource of the server."""
        return None if self.asset is None else f"sightline://asset/{self.asset}"

    def fields(self) -> dict[str, Any]:
        """Return all known fields except id, text and score, and the metadata, flat.

        A metadata key with the name of a field has the prefix ``metadata.``. Texts are on one line.
        """
        values = {name: getattr(self, name) for name in _FIELDS}
        known = {name: _json(value) for name, value in values.items() if _is_known(value)}
        own = {
            _METADATA_PREFIX + key if key in _FIELDS else key: value
            for key, value in self.metadata.items()
        }
        # LlamaIndex shows a model one line for each field: no value may pass for another field.
        return {_one_line(key): _one_line(value) for key, value in (known | own).items()}


def technical_fields(fields: Mapping[str, Any]) -> list[str]:
    """Return the names of fields that do not help a model to judge or cite a hit."""
    return [name for name in fields if name in _FIELDS and name not in _FIELDS_FOR_MODELS]


def to_search_hit(hit: ImageHit | PassageHit | SearchHit) -> SearchHit:
    """Return the hit in plain values."""
    if isinstance(hit, SearchHit):
        return hit
    return _from_image(hit) if isinstance(hit, ImageHit) else _from_passage(hit)


def _from_image(hit: ImageHit) -> SearchHit:
    asset, passage = hit.asset, hit.passage
    # The caption is a field of its own.
    matched = passage if passage and passage.kind != "caption" else None
    box = hit.region.box if hit.region else passage.box if passage else None
    return SearchHit(
        id=asset.id,
        text=remove_hidden(image_text(asset, passage)),
        score=hit.score,
        source=remove_hidden(asset.source),
        collection=asset.collection,
        kind=asset.kind,
        page=asset.page,
        seconds=asset.frame_seconds,
        box=box,
        weak=hit.weak,
        passage=f"p{matched.id}" if matched else None,
        distance=_min_distance(hit),
        duplicates=hit.duplicates,
        **_asset_fields(asset),
    )


def _from_passage(hit: PassageHit) -> SearchHit:
    passage, asset = hit.passage, hit.asset
    seconds = passage.start_seconds
    return SearchHit(
        id=f"p{passage.id}",
        text=remove_hidden(passage.text),
        score=hit.score,
        source=remove_hidden(passage.source),
        collection=passage.collection,
        kind=passage.kind,
        page=passage.page or (asset.page if asset else None),
        seconds=asset.frame_seconds if seconds is None and asset else seconds,
        end_seconds=passage.end_seconds,
        box=passage.box,
        weak=hit.weak,
        passage=f"p{passage.id}",
        distance=_min_distance(hit),
        **({} if asset is None else _asset_fields(asset)),
    )


def _asset_fields(asset: Asset) -> dict[str, Any]:
    return {
        "asset": asset.id,
        "captured_at": _isoformat(asset.captured_local or asset.captured_at),
        "caption": None if asset.caption is None else remove_hidden(asset.caption),
        "size": (asset.width, asset.height),
        "metadata": _clean(asset.metadata),
    }


def _isoformat(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="seconds")


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return remove_hidden(value)
    if isinstance(value, list):
        return [_clean(item) for item in value]
    if isinstance(value, dict):
        return {remove_hidden(key): _clean(item) for key, item in value.items()}
    return value


def _is_known(value: object) -> bool:
    return value is not None and value is not False and value != ()


def _one_line(value: Any) -> Any:
    return " ".join(value.split()) if isinstance(value, str) and "\n" in value else value


def _json(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _min_distance(hit: ImageHit | PassageHit) -> float | None:
    distances = [each.distance for each in hit.retrievers.values() if each.distance is not None]
    return min(distances, default=None)
