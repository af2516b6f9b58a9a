"""Results of tools: JSON text, the same as structured content, then images.

Many clients read only the first text block and some drop images, so that block is complete.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer

from sightline.storage.errors import SightlineError, UnknownAssetError, UnknownNameError
from sightline.storage.isolation.caller import message_for_caller
from sightline.storage.records.assets import Asset
from sightline.storage.retrieval.search_types import (
    ImageHit,
    Passage,
    PassageHit,
    RetrieverScore,
    SearchReport,
)
from sightline.tools.shared.images import EncodedImage

#: Scores have four decimals and times one, to save tokens.
Score = Annotated[float, PlainSerializer(lambda value: round(value, 4), return_type=float)]
Milliseconds = Annotated[float, PlainSerializer(lambda value: round(value, 1), return_type=float)]
Timings = Annotated[
    dict[str, Milliseconds], Field(description="Milliseconds by stage; 'total' is their sum.")
]
Reranked = Annotated[
    bool | None, Field(description="A reranker ordered the first hits, not their scores.")
]
Thresholds = Annotated[
    dict[str, Score], Field(description="Score above which a hit is significant, by retriever.")
]
NormalizedBox = Annotated[
    Sequence[Score],
    Field(description="Corners [x0, y0, x1, y1], 0 to 1 of the upright image, origin top left."),
]
_MAX_CAPTION_CHARS = 160
_MAX_PASSAGE_CHARS = 200


class ToolModel(BaseModel):
    """Base of all results and arguments. Results omit fields that are None."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class ToolResult(ToolModel):
    """Base of the results of tools."""

    notes: list[str] | None = Field(
        default=None, description="Remarks, also that hidden characters were removed."
    )


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


def report_fields(report: SearchReport) -> dict[str, Any]:
    """Return the fields of a search result that are not its hits."""
    return {
        "thresholds": {
            name: retriever.threshold
            for name, retriever in report.retrievers.items()
            if retriever.threshold is not None
        },
        "notes": list(report.notes) or None,
        "reranked": report.reranked or None,
        "timings_ms": report.timings_ms,
        "next_cursor": report.next_cursor,
    }


def is_below_threshold(hit: ImageHit, report: SearchReport) -> bool:
    """Return whether no retriever scores the hit above its threshold.

    A word match has no threshold, so such a hit is never below it.
    """
    return all(
        (threshold := report.retrievers[name].threshold) is not None and score.score < threshold
        for name, score in hit.retrievers.items()
    )


def to_tool_result(result: ToolModel, images: Sequence[EncodedImage] = ()) -> CallToolResult:
    """Return the result as JSON text and structured content, followed by the images."""
    content: list[ContentBlock] = [
        TextContent(type="text", text=result.model_dump_json(exclude_none=True))
    ]
    content += [
        ImageContent(
            type="image",
            data=base64.b64encode(image.data).decode("ascii"),
            mime_type=image.mime_type,
        )
        for image in images
    ]
    return CallToolResult(
        content=content,
        structured_content=result.model_dump(mode="json", exclude_none=True),
    )


def to_resource_error(error: SightlineError) -> ResourceError:
    is_unknown = isinstance(error, UnknownAssetError | UnknownNameError)
    return (ResourceNotFoundError if is_unknown else ResourceError)(message_for_caller(error))
