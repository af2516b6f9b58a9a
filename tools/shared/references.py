"""Descriptions of assets, annotations and search hits in results."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from pydantic import Field, JsonValue

from sightline.storage.records.assets import Asset
from sightline.storage.retrieval.search_types import (
    ImageHit,
    Passage,
    PassageHit,
    RetrieverScore,
    SearchReport,
)
from sightline.tools.shared.tool_results import NormalizedBox, Score, ToolModel

_MAX_CAPTION_CHARS = 160
_MAX_PASSAGE_CHARS = 200


class AssetReference(ToolModel):
    """An asset, described so that it can be found, viewed and cited."""

    asset: str = Field(description="Id for view_image and the other tools.")
    source: str = Field(description="File name at ingest.")
    collection: str
    kind: str = Field(description="'image', 'page' or 'frame'.")
    page: int | None = Field(default=None, description="Page of the document, from 1.")
    seconds: float | None = Field(default=None, description="Time in the video, in seconds.")
    size: list[int] = Field(description="Width and height in pixels, upright.")
    captured_at: str | None = Field(default=None, description="Capture time, ISO 8601.")
    caption: str | None = None
    metadata: dict[str, JsonValue] | None = None
    uri: str


class AnnotationReference(ToolModel):
    """A saved box on the asset."""

    id: int
    label: str
    box: NormalizedBox
    score: Score | None = None
    origin: str
    model: str | None = None
    author: str | None = None
    note: str | None = None


class RetrieverRank(ToolModel):
    """Rank and score of a hit in one retriever."""

    rank: int = Field(description="Rank in this retriever, from 1.")
    score: Score
    distance: Score | None = Field(default=None, description="Cosine distance.")


class MatchedPassage(ToolModel):
    """The passage that matched best."""

    passage: str
    kind: str
    text: str
    box: NormalizedBox | None = None


def shorten(text: str, limit: int) -> str:
    """Return the text on one line, cut at a word with an ellipsis."""
    flat = " ".join(text.split())
    if len(flat) <= limit:
        return flat
    cut = flat[:limit]
    # Chinese has no spaces: do not cut off more than half.
    space = cut.rfind(" ")
    return (cut[:space] if space > limit // 2 else cut).rstrip() + "…"


def asset_reference(asset: Asset, *, detailed: bool) -> AssetReference:
    """Describe an asset. ``detailed`` adds the metadata and the whole caption."""
    caption = asset.caption
    if caption is not None and not detailed:
        caption = shorten(caption, _MAX_CAPTION_CHARS)
    return AssetReference(
        asset=asset.id,
        source=asset.source,
        collection=asset.collection,
        kind=asset.kind,
        page=asset.page,
        seconds=asset.frame_seconds,
        size=[asset.width, asset.height],
        # Cameras show local time.
        captured_at=isoformat(asset.captured_local or asset.captured_at),
        caption=caption,
        metadata=asset.metadata if detailed and asset.metadata else None,
        uri=f"sightline://asset/{asset.id}",
    )


def isoformat(moment: datetime | None) -> str | None:
    """Return ISO 8601 text to the second, None for None."""
    return None if moment is None else moment.isoformat(timespec="seconds")


def retriever_ranks(scores: Mapping[str, RetrieverScore]) -> dict[str, RetrieverRank]:
    """Describe the ranks of a hit by retriever."""
    return {name: RetrieverRank.model_validate(score._asdict()) for name, score in scores.items()}


def matched_passage(passage: Passage, *, detailed: bool) -> MatchedPassage:
    """Describe the passage that matched best; ``detailed`` gives its whole text."""
    return MatchedPassage(
        passage=f"p{passage.id}",
        kind=passage.kind,
        text=passage.text if detailed else shorten(passage.snippet, _MAX_PASSAGE_CHARS),
        box=passage.box,
    )


def min_distance(hit: ImageHit | PassageHit) -> float | None:
    """Return the minimum cosine distance of a hit over all retrievers."""
    distances = [each.distance for each in hit.retrievers.values() if each.distance is not None]
    return min(distances, default=None)


def thresholds(report: SearchReport) -> dict[str, float]:
    """Return the thresholds of the retrievers that have one."""
    return {
        name: retriever.threshold
        for name, retriever in report.retrievers.items()
        if retriever.threshold is not None
    }


def is_below_threshold(hit: ImageHit, report: SearchReport) -> bool:
    """Return whether no retriever scores the hit above its threshold.

    A word match has no threshold, so such a hit is never below it.
    """
    for name, score in hit.retrievers.items():
        threshold = report.retrievers[name].threshold
        if threshold is None or score.score >= threshold:
            return False
    return True
