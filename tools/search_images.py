"""``search_images``: search images by words, by an image or by examples."""

from __future__ import annotations

import io
from typing import Annotated

from mcp.types import CallToolResult
from PIL import Image
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.records import annotations as annotation_records
from sightline.storage.records import assets
from sightline.storage.records.annotations import NewestAnnotations
from sightline.storage.retrieval.search_types import (
    ImageHit,
    ImageRequest,
    SearchReport,
)
from sightline.tools.shared import image_input
from sightline.tools.shared.argument_types import (
    BOX_FRAME,
    BoxCorners,
    Collection,
    Cursor,
    Detail,
    Filters,
    ImageReference,
    Limit,
    OptionalText,
    selection,
)
from sightline.tools.shared.dependencies import Call, dependencies, principal
from sightline.tools.shared.images import EncodedImage
from sightline.tools.shared.tool_results import (
    AnnotationReference,
    AssetReference,
    MatchedPassage,
    NormalizedBox,
    Reranked,
    RetrieverRank,
    Score,
    Thresholds,
    Timings,
    ToolResult,
    annotation_references,
    asset_reference,
    duplicate_ids,
    is_below_threshold,
    matched_passage,
    max_annotations,
    min_distance,
    report_fields,
    retriever_ranks,
    to_tool_result,
)

DESCRIPTION = """\
Find images, document pages and video frames. Describe what should be visible in `query` ("two white
vans in front of a brick building", "白色货车"), or give an image in `image` (or only its part
`region`), examples in `like` and `unlike`, or any combination. Words also match captions and text
in the images. Narrow with `filters`, `captured_after` and `captured_before`. Each hit has the asset
id, the source file and, where known, the box that matched: cite them, and look with view_image."""

MAX_EXAMPLES = 8
MAX_THUMBNAILS = 4

Examples = Annotated[
    list[str] | None,
    Field(max_length=MAX_EXAMPLES, description="Asset ids, data URLs or allowed file paths."),
]


class ImageSearchHit(AssetReference):
    """One hit, numbered for citation."""

    number: int = Field(description="Number to cite, [number].")
    score: Score = Field(description="Orders the hits of this search only.")
    distance: Score | None = Field(default=None, description="Minimum cosine distance.")
    below_threshold: bool | None = Field(
        default=None, description="True: no better match than a random image."
    )
    box: NormalizedBox | None = Field(default=None, description="The best matching part.")
    text: MatchedPassage | None = Field(
        default=None, description="The best matching caption or text."
    )
    retrievers: dict[str, RetrieverRank] | None = Field(
        default=None, description="Rank and score by retriever."
    )
    duplicates: list[str] | None = Field(
        default=None, description="Ids of near-identical assets, left out."
    )
    annotations: list[AnnotationReference] | None = Field(
        default=None, description="Newest saved boxes; 'detailed' only."
    )
    annotation_count: int | None = Field(default=None, description="Of all saved boxes.")


class ImageSearchResult(ToolResult):
    """Hits, best first; empty if nothing matched."""

    hits: list[ImageSearchHit]
    thresholds: Thresholds
    reranked: Reranked = None
    thumbnails: list[int] | None = Field(
        default=None, description="Numbers of the hits whose thumbnails follow."
    )
    timings_ms: Timings
    next_cursor: str | None = None


def _hit(
    number: int,
    hit: ImageHit,
    report: SearchReport,
    saved: NewestAnnotations,
    *,
    detailed: bool,
    hits: int,
) -> ImageSearchHit:
    passage = hit.passage
    return ImageSearchHit(
        **asset_reference(hit.asset, detailed=detailed, hits=hits).model_dump(),
        number=number,
        score=hit.score,
        distance=min_distance(hit),
        below_threshold=is_below_threshold(hit, report) or None,
        box=hit.region.box if hit.region else None,
        text=matched_passage(passage, detailed=detailed, hits=hits) if passage else None,
        retrievers=retriever_ranks(hit.retrievers) if detailed else None,
        duplicates=duplicate_ids(hit.duplicates),
        annotations=annotation_references(saved.newest, hits) or None,
        annotation_count=saved.total or None,
    )


def _size(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg)) as image:
        return image.size


async def tool(
    ctx: Call,
    query: Annotated[
        OptionalText,
        Field(
            description="What should be visible, or words on or about the image (also in its "
            'file name). "Words in quotation marks" must match text exactly.'
        ),
    ] = "",
    image: ImageReference = "",
    region: Annotated[
        BoxCorners | None,
        Field(description="Search by this part of `image` only. " + BOX_FRAME),
    ] = None,
    like: Examples = None,
    unlike: Examples = None,
    collection: Collection = "",
    filters: Filters = None,
    captured_after: Annotated[
        OptionalText,
        Field(description="Captured at or after: '2026-05-01' or '2026-05-01T06:00'."),
    ] = "",
    captured_before: Annotated[
        OptionalText, Field(description="Captured before: '2026-05-01T17:00'.")
    ] = "",
    visual_weight: Annotated[
        float | None,
        Field(ge=0, le=1, description="1: appearance only; 0: words only. Omit to balance."),
    ] = None,
    diversity: Annotated[
        float, Field(ge=0, le=1, description="0: best first; towards 1: hits that differ.")
    ] = 0.0,
    limit: Limit = 5,
    cursor: Cursor = "",
    detail: Detail = "concise",
    thumbnails: Annotated[
        int,
        Field(ge=0, le=MAX_THUMBNAILS, description="Number of hits with a thumbnail, 0 to 4."),
    ] = 0,
) -> Annotated[CallToolResult, ImageSearchResult]:
    deps = dependencies(ctx)
    references = [*([image] if image else ()), *(like or ()), *(unlike or ())]
    async with image_input.example_memory(deps, references, has_crop=region is not None):
        if region is None:
            example = await image_input.resolve_example(deps, image) if image else None
            crop_of, box = None, None
        elif image:
            example, crop_of, box = await image_input.resolve_crop(deps, image, region)
        else:
            raise InvalidArgumentError(
                f"The region {shown(region)} is a part of `image`. Give `image` as well."
            )
        request = ImageRequest(
            query=query,
            image=example,
            region=box,
            crop_of=crop_of,
            like=await image_input.resolve_examples(deps, like or ()),
            unlike=await image_input.resolve_examples(deps, unlike or ()),
            selection=selection(collection, filters, captured_after, captured_before),
            visual_weight=visual_weight,
            diversity=diversity,
            limit=deps.limits.results(limit),
            cursor=cursor or None,
            principal=principal(),
        )
        results = await deps.image_search(request)
    report = results.report
    detailed = detail == "detailed"
    saved: dict[str, NewestAnnotations] = {}
    jpegs: list[bytes] = []
    if results.hits and (detailed or thumbnails):
        ids = [hit.asset.id for hit in results.hits]
        async with deps.connection() as connection:
            if detailed:
                saved = await annotation_records.list_newest(
                    connection, ids, max_annotations(len(ids))
                )
            jpegs = [await assets.thumbnail(connection, each) for each in ids[:thumbnails]]
    result = ImageSearchResult(
        hits=[
            _hit(
                number,
                hit,
                report,
                saved.get(hit.asset.id, NewestAnnotations()),
                detailed=detailed,
                hits=len(results.hits),
            )
            for number, hit in enumerate(results.hits, 1)
        ],
        thumbnails=list(range(1, len(jpegs) + 1)) or None,
        **report_fields(report),
    )
    return to_tool_result(
        result, [EncodedImage(jpeg, "image/jpeg", *_size(jpeg)) for jpeg in jpegs]
    )
