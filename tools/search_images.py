"""``search_images``: search images by words, by an image or by examples."""

from __future__ import annotations

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import BeforeValidator, Field, JsonValue

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.records import annotations as annotation_records
from sightline.storage.records import assets
from sightline.storage.records.annotations import NewestAnnotations
from sightline.storage.retrieval.search_types import ImageHit, ImageRequest
from sightline.tools.shared import image_input
from sightline.tools.shared.argument_types import (
    BOX_FRAME,
    FILTER_LANGUAGE,
    MAX_NAME_CHARS,
    BoxCorners,
    Collection,
    Cursor,
    Detail,
    ImageReference,
    Limit,
    asset_id,
    selection,
)
from sightline.tools.shared.contact_sheet import draw_contact_sheet
from sightline.tools.shared.dependencies import Call, dependencies, principal
from sightline.tools.shared.image_delivery import image_url_template
from sightline.tools.shared.tool_results import (
    AnnotationReference,
    AssetReference,
    HitScore,
    ImageUrlTemplate,
    MatchedPassage,
    NormalizedBox,
    Reranked,
    RetrieverRank,
    Score,
    Thresholds,
    Timings,
    ToolResult,
    Total,
    annotation_references,
    asset_reference,
    duplicate_ids,
    hit_score,
    matched_passage,
    max_annotations,
    min_distance,
    report_fields,
    retriever_ranks,
    shared_collection,
    to_tool_result,
)

DESCRIPTION = """\
Find images, document pages and video frames: by words for what is visible or written ("two white
vans", "白色货车"), by an image or its part, by examples, or a combination, narrowed by filters.
Without a query it lists what the filters match, newest first, with the total."""

MAX_EXAMPLES = 8

_Example = Annotated[str, BeforeValidator(asset_id)]


class ImageSearchHit(AssetReference):
    """One hit, numbered for citation."""

    number: int = Field(description="Number to cite, [number].")
    score: HitScore = None
    distance: Score | None = Field(default=None, description="Minimum cosine distance.")
    weak: bool | None = Field(
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
        default=None, description="Ids of near-identical assets of the selection."
    )
    annotations: list[AnnotationReference] | None = Field(
        default=None, description="Newest saved boxes; 'detailed' only."
    )
    annotation_count: int | None = Field(default=None, description="Of all saved boxes.")


class ImageSearchResult(ToolResult):
    """Hits, best first; empty if nothing matched."""

    hits: list[ImageSearchHit]
    collection: str | None = Field(default=None, description="The collection of all hits.")
    total: Total = None
    thresholds: Thresholds = None
    reranked: Reranked = None
    image_url_template: ImageUrlTemplate = None
    timings_ms: Timings
    next_cursor: str | None = None


RESULT = ImageSearchResult


def _hit(
    number: int,
    hit: ImageHit,
    saved: NewestAnnotations,
    *,
    detailed: bool,
    collection: str | None,
    with_time: bool,
    hits: int,
) -> ImageSearchHit:
    passage = hit.passage
    if passage is not None and passage.kind == "caption" and not detailed:
        passage = None  # it would repeat the caption
    asset = asset_reference(
        hit.asset, detailed=detailed, hits=hits, collection=collection, with_time=with_time
    )
    return ImageSearchHit(
        **asset.model_dump(),
        number=number,
        score=hit_score(hit),
        distance=min_distance(hit),
        weak=hit.weak or None,
        box=hit.region.box if hit.region else None,
        text=matched_passage(passage, detailed=detailed, hits=hits) if passage else None,
        retrievers=retriever_ranks(hit.retrievers) if detailed else None,
        duplicates=duplicate_ids(hit.duplicates),
        annotations=annotation_references(saved.newest, hits) or None,
        annotation_count=saved.total or None,
    )


async def tool(
    ctx: Call,
    query: Annotated[
        str,
        Field(
            description="What is visible, or words on or about the image. "
            '"Quoted words" must match exactly.'
        ),
    ] = "",
    image: ImageReference = "",
    region: Annotated[
        BoxCorners | None,
        Field(description="Search by this part of `image`: " + BOX_FRAME + "."),
    ] = None,
    like: Annotated[
        list[_Example] | None,
        Field(max_length=MAX_EXAMPLES, description="Examples, given as in `image`."),
    ] = None,
    unlike: Annotated[
        list[_Example] | None,
        Field(max_length=MAX_EXAMPLES, description="Counterexamples."),
    ] = None,
    collection: Collection = "",
    filters: Annotated[dict[str, JsonValue] | None, Field(description=FILTER_LANGUAGE)] = None,
    captured_after: Annotated[
        str, Field(max_length=MAX_NAME_CHARS, description="'2026-05-01' or '2026-05-01T06:00'.")
    ] = "",
    captured_before: Annotated[str, Field(max_length=MAX_NAME_CHARS, description="The same.")] = "",
    visual_weight: Annotated[
        float | None,
        Field(ge=0, le=1, description="1: appearance only, 0: words only. Default: balanced."),
    ] = None,
    diversity: Annotated[
        float, Field(ge=0, le=1, description="0 (best first, default) to 1: hits that differ.")
    ] = 0.0,
    limit: Limit = 5,
    cursor: Cursor = "",
    detail: Detail = "concise",
    contact_sheet: Annotated[
        bool, Field(description="Add one image with numbered thumbnails of all hits.")
    ] = False,
) -> CallToolResult:
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
    detailed = detail == "detailed"
    ids = [hit.asset.id for hit in results.hits]
    saved: dict[str, NewestAnnotations] = {}
    thumbnails: dict[str, bytes] = {}
    if ids and (detailed or contact_sheet):
        async with deps.connection() as connection:
            if detailed:
                maximum = max_annotations(len(ids))
                saved = await annotation_records.list_newest(connection, ids, maximum)
            if contact_sheet:
                thumbnails = await assets.thumbnails(connection, ids)
    shared = shared_collection((hit.asset.collection for hit in results.hits), detailed=detailed)
    result = ImageSearchResult(
        hits=[
            _hit(
                number,
                hit,
                saved.get(hit.asset.id, NewestAnnotations()),
                detailed=detailed,
                collection=shared,
                with_time=not query or bool(filters or captured_after or captured_before),
                hits=len(ids),
            )
            for number, hit in enumerate(results.hits, 1)
        ],
        collection=shared,
        image_url_template=image_url_template(),
        **report_fields(results.report, detailed=detailed),
    )
    sheet = [await draw_contact_sheet(deps, results.hits, thumbnails)] if thumbnails else []
    return to_tool_result(result, sheet)
