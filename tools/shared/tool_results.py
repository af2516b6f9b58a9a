"""Results of tools: one text block with the complete JSON, then images.

A result without images has the same JSON as structured content. One with images has none, because
several clients then show the model only the structured content and lose the images. Every part of
a result is limited, so that no stored text, metadata or annotation makes it large.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Final

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent
from pydantic import BaseModel, ConfigDict, Field, JsonValue, PlainSerializer

from sightline.storage.errors import (
    NotAllowedError,
    SightlineError,
    UnknownAssetError,
    UnknownNameError,
)
from sightline.storage.isolation.caller import message_for_caller
from sightline.storage.records import source_text
from sightline.storage.records.annotations import Annotation
from sightline.storage.records.assets import Asset
from sightline.storage.retrieval.search_types import (
    ImageHit,
    Passage,
    PassageHit,
    RetrieverScore,
    SearchReport,
)
from sightline.tools.shared.images import EncodedImage

ASSET_URI: Final = "sightline://asset/"
SHORTENED: Final = source_text.SHORTENED


def _rounded(decimals: int) -> PlainSerializer:
    """Return a serializer that saves the tokens of digits without a meaning."""
    return PlainSerializer(lambda value: round(value, decimals), return_type=float)


Score = Annotated[float, _rounded(3)]
Milliseconds = Annotated[float, _rounded(1)]
Timings = Annotated[
    dict[str, Milliseconds],
    Field(description="Milliseconds: 'total', in detailed results also by stage."),
]
ImageUrlTemplate = Annotated[
    str | None, Field(description="Address of the JPEG of a hit, with its asset id.")
]
Reranked = Annotated[
    bool | None, Field(description="A reranker ordered the first hits, not their scores.")
]
Thresholds = Annotated[
    dict[str, Score] | None,
    Field(description="Score above which a hit is significant, by retriever."),
]
Total = Annotated[
    int | None, Field(description="Number of all matches of a search without a query.")
]
HitScore = Annotated[
    Score | None, Field(description="Orders the hits of this search only; absent in a listing.")
]
NormalizedBox = Annotated[
    Sequence[Annotated[float, _rounded(4)]],
    Field(description="Corners [x0, y0, x1, y1], 0 to 1 of the upright image, origin top left."),
]
_MAX_CAPTION_CHARS = 80
_MAX_PASSAGE_CHARS = 100
_MAX_SOURCE_CHARS = 500
_MAX_CONCISE_SOURCE_CHARS = 40
#: Characters of all captions of a detailed result, and as many for its texts and its metadata.
_DETAIL_CHARS = 60_000
_NOTE_CHARS = 40_000
#: Annotations of one asset in a result, and of all its assets.
MAX_ANNOTATIONS = 20
_MAX_RESULT_ANNOTATIONS = 200
_MAX_DUPLICATES = 50
#: The JSON text of a result. The limits above keep it far smaller; this one is the last resort.
MAX_RESULT_BYTES = 1_000_000


class ToolModel(BaseModel):
    """Base of all results and arguments. Results omit fields that are None."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


class ToolResult(ToolModel):
    """Base of the results of tools."""

    notes: list[str] | None = Field(
        default=None, description="Remarks, also that hidden characters were removed."
    )


class AssetReference(ToolModel):
    """An asset, described so that it can be found, viewed and cited.

    Its resource is ``sightline://asset/{asset}``.
    """

    asset: str = Field(description="Id for view_image and the other tools.")
    source: str = Field(description="Name of the file; of a long path, the end.")
    collection: str | None = Field(
        default=None, description="Absent if the result states it for all hits."
    )
    kind: str | None = Field(default=None, description="'page', 'frame' or 'audio'; else an image.")
    page: int | None = Field(default=None, description="Page of the document, from 1.")
    seconds: float | None = Field(default=None, description="Time in the video, in seconds.")
    size: list[int] | None = Field(
        default=None, description="Width and height in pixels, upright; 'detailed' only."
    )
    captured_at: str | None = Field(
        default=None,
        description="Local capture time, ISO 8601; in concise hits of searches that restrict it.",
    )
    caption: str | None = None
    metadata: dict[str, JsonValue] | None = Field(default=None, description="'detailed' only.")
    metadata_left_out: int | None = Field(
        default=None, description="Number of values too long to list."
    )


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


def cut(text: str, limit: int) -> str:
    """Return the text as it is, or its beginning and how many characters are left out."""
    if len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()}… ({len(text) - limit:,} more characters)"


def detail_chars(count: int) -> int:
    """Return the maximum length of caption, text and metadata for each hit."""
    return _DETAIL_CHARS // max(1, count)


def max_annotations(count: int) -> int:
    """Return how many annotations each of ``count`` assets of a result may have."""
    return min(MAX_ANNOTATIONS, _MAX_RESULT_ANNOTATIONS // max(1, count))


def annotation_references(
    annotations: Sequence[Annotation], assets: int = 1
) -> list[AnnotationReference]:
    """Describe the annotations of one of ``assets`` in a result; long notes are cut."""
    references = [AnnotationReference.model_validate(each) for each in annotations]
    max_chars = _NOTE_CHARS // max(1, assets * len(references))
    for each in references:
        each.note = None if each.note is None else cut(each.note, max_chars)
    return references


def short_source(source: str, *, detailed: bool = True) -> str:
    """Return the name of a source; of a long path, the file and its folder."""
    if not detailed and len(source) > _MAX_CONCISE_SOURCE_CHARS and source.count("/") > 1:
        source = SHORTENED + "/".join(source.rsplit("/", 2)[1:])
    return source if len(source) <= _MAX_SOURCE_CHARS else "…" + source[1 - _MAX_SOURCE_CHARS :]


def duplicate_ids(ids: Sequence[str]) -> list[str] | None:
    """Return the ids of near-duplicates, at most 50, None if there are none."""
    return list(ids[:_MAX_DUPLICATES]) or None


def short_metadata(
    metadata: Mapping[str, JsonValue], max_chars: int
) -> tuple[dict[str, JsonValue], int]:
    """Return the metadata that fits, and the number of values that are left out."""
    listed: dict[str, JsonValue] = {}
    for key, value in metadata.items():
        size = len(key) + len(json.dumps(value, ensure_ascii=False))
        if size <= max_chars:
            listed[key] = value
            max_chars -= size
    return listed, len(metadata) - len(listed)


def asset_reference(
    asset: Asset,
    *,
    detailed: bool,
    hits: int = 1,
    collection: str | None = None,
    with_time: bool = True,
) -> AssetReference:
    """Describe one of ``hits`` assets; the result may state the ``collection``.

    ``detailed`` adds the whole name of the source, size, capture time, metadata and whole caption.
    """
    with_time = detailed or with_time
    taken = (asset.captured_local or asset.captured_at) if with_time else None
    caption = asset.caption
    if caption is not None:
        limit = detail_chars(hits)
        caption = cut(caption, limit) if detailed else shorten(caption, _MAX_CAPTION_CHARS)
    metadata: dict[str, JsonValue] = {}
    left_out = 0
    if detailed:
        metadata, left_out = short_metadata(asset.metadata, detail_chars(hits))
    return AssetReference(
        asset=asset.id,
        source=short_source(asset.source, detailed=detailed),
        collection=None if collection else asset.collection,
        kind=None if asset.kind == "image" else asset.kind,
        page=asset.page,
        seconds=asset.frame_seconds,
        size=[asset.width, asset.height] if detailed else None,
        captured_at=isoformat(taken),
        caption=caption,
        metadata=metadata or None,
        metadata_left_out=left_out or None,
    )


def isoformat(moment: datetime | None) -> str | None:
    """Return ISO 8601 text to the second, None for None."""
    return None if moment is None else moment.isoformat(timespec="seconds")


def retriever_ranks(scores: Mapping[str, RetrieverScore]) -> dict[str, RetrieverRank]:
    """Describe the ranks of a hit by retriever."""
    return {name: RetrieverRank.model_validate(score._asdict()) for name, score in scores.items()}


def matched_passage(passage: Passage, *, detailed: bool, hits: int = 1) -> MatchedPassage:
    """Describe the passage that matched best; ``detailed`` gives its whole text."""
    full = cut(passage.text, detail_chars(hits))
    return MatchedPassage(
        kind=passage.kind,
        text=full if detailed else shorten(passage.snippet, _MAX_PASSAGE_CHARS),
        box=passage.box,
    )


def min_distance(hit: ImageHit | PassageHit) -> float | None:
    """Return the minimum cosine distance of a hit over all retrievers."""
    distances = [each.distance for each in hit.retrievers.values() if each.distance is not None]
    return min(distances, default=None)


def hit_score(hit: ImageHit | PassageHit) -> float | None:
    """Return the score of a hit, None in a listing, which has no query."""
    return hit.score if hit.retrievers else None


def report_fields(report: SearchReport, *, detailed: bool) -> dict[str, Any]:
    """Return the fields of a search result that are not its hits."""
    timings = report.timings_ms
    return {
        "total": report.total,
        "thresholds": {
            name: retriever.threshold
            for name, retriever in report.retrievers.items()
            if retriever.threshold is not None
        }
        or None,
        "notes": list(report.notes) or None,
        "reranked": report.reranked or None,
        "timings_ms": timings if detailed else {"total": timings["total"]},
        "next_cursor": report.next_cursor,
    }


def shared_collection(names: Iterable[str], *, detailed: bool) -> str | None:
    """Return the collection of all hits, which a concise result states once."""
    unique = set(names)
    return unique.pop() if len(unique) == 1 and not detailed else None


def to_tool_result(result: ToolModel, images: Sequence[EncodedImage] = ()) -> CallToolResult:
    """Return the result as JSON text, followed by the images.

    Raises NotAllowedError for a result that is larger than `MAX_RESULT_BYTES`.
    """
    text = result.model_dump_json(exclude_none=True)
    size = len(text.encode())
    if size > MAX_RESULT_BYTES:
        raise NotAllowedError(
            f"The result has {size:,} bytes; the limit is {MAX_RESULT_BYTES:,}. Ask for less: a "
            "smaller limit, or detail='concise'."
        )
    content: list[ContentBlock] = [TextContent(type="text", text=text)]
    content += [
        ImageContent(
            type="image",
            data=base64.b64encode(image.data).decode("ascii"),
            mime_type=image.mime_type,
        )
        for image in images
    ]
    structured = None if images else result.model_dump(mode="json", exclude_none=True)
    return CallToolResult(content=content, structured_content=structured)


def read_result(result: CallToolResult) -> dict[str, Any]:
    """Return the JSON of a successful result, which its first text block contains."""
    first = result.content[0]
    if not isinstance(first, TextContent):
        raise ValueError(f"The first block of the result is {first.type}, not text.")
    data: dict[str, Any] = json.loads(first.text)
    return data


def read_images(result: CallToolResult) -> Iterator[bytes]:
    """Yield the images of a result as files."""
    for block in result.content:
        if isinstance(block, ImageContent):
            yield base64.b64decode(block.data)


def to_resource_error(error: SightlineError) -> ResourceError:
    is_unknown = isinstance(error, UnknownAssetError | UnknownNameError)
    return (ResourceNotFoundError if is_unknown else ResourceError)(message_for_caller(error))
