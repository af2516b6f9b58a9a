"""Evidence: what a result points at so that a person can look for themselves."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from sightline.storage.records.assets import Asset
from sightline.storage.retrieval import search_types
from sightline.tools.shared.tool_results import NormalisedBox, Score

CONCISE_CAPTION_CHARS = 160
CONCISE_EVIDENCE_CHARS = 200


class AssetReference(BaseModel):
    """One picture, named so that it can be found, looked at and cited."""

    model_config = ConfigDict(extra="forbid")

    asset: Annotated[str, Field(description="Id for view_image and the other tools.")]
    source: Annotated[str, Field(description="The file it came from, as it was given at ingest.")]
    collection: str
    kind: Annotated[str, Field(description="'image', 'page' or 'frame'.")]
    page: Annotated[int | None, Field(description="Page of the document, from 1.")] = None
    seconds: Annotated[float | None, Field(description="Time in the video, in seconds.")] = None
    size: Annotated[list[int], Field(description="Width and height in pixels, upright.")]
    captured_at: Annotated[str | None, Field(description="When it was taken, ISO 8601.")] = None
    caption: str | None = None
    metadata: dict[str, JsonValue] | None = None
    uri: str


class BranchScore(BaseModel):
    """How one branch of the search ranked a hit."""

    model_config = ConfigDict(extra="forbid")

    rank: Annotated[int, Field(description="Place in this branch alone, from 1.")]
    score: Score
    distance: Annotated[Score | None, Field(description="Cosine distance, vector branches.")] = None


class TextEvidence(BaseModel):
    """The passage that a hit rests on."""

    model_config = ConfigDict(extra="forbid")

    passage: str
    kind: str
    text: str
    box: NormalisedBox | None = None


def asset_uri(asset_id: str) -> str:
    """The resource that holds the picture."""
    return f"sightline://asset/{asset_id}"


def shortened(text: str, limit: int) -> str:
    """``text`` on one line, cut at a word with an ellipsis."""
    flat = " ".join(text.split())
    if len(flat) <= limit:
        return flat
    cut = flat[:limit]
    # A cut at the last space, unless that would lose half of it (Chinese has none).
    space = cut.rfind(" ")
    return (cut[:space] if space > limit // 2 else cut).rstrip() + "…"


def local_or_utc(captured_at: datetime | None, captured_local: datetime | None) -> str | None:
    """The moment on the wall clock of the place where known, which is what a camera shows."""
    moment = captured_local or captured_at
    return None if moment is None else moment.isoformat(timespec="seconds")


def refer(asset: Asset, *, detailed: bool) -> AssetReference:
    """What every tool says of an asset."""
    caption = asset.caption
    if caption is not None and not detailed:
        caption = shortened(caption, CONCISE_CAPTION_CHARS)
    return AssetReference(
        asset=asset.id,
        source=asset.source,
        collection=asset.collection,
        kind=asset.kind,
        page=asset.page,
        seconds=asset.frame_seconds,
        size=[asset.width, asset.height],
        captured_at=local_or_utc(asset.captured_at, asset.captured_local),
        caption=caption,
        metadata=asset.metadata if detailed and asset.metadata else None,
        uri=asset_uri(asset.id),
    )


def branch_scores(branches: Mapping[str, search_types.BranchScore]) -> dict[str, BranchScore]:
    """Each branch's view of a hit, as it is reported."""
    return {
        name: BranchScore(rank=score.rank, score=score.score, distance=score.distance)
        for name, score in branches.items()
    }


def text_evidence(passage: search_types.Passage, *, detailed: bool) -> TextEvidence:
    """The passage behind a picture's hit."""
    return TextEvidence(
        passage=f"p{passage.id}",
        kind=passage.kind,
        text=passage.text if detailed else shortened(passage.snippet, CONCISE_EVIDENCE_CHARS),
        box=None if passage.box is None else list(passage.box),
    )
