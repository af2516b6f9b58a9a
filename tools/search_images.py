"""``search_images``: pictures by words, by a picture, by examples, or by any mix."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from PIL import Image
from pydantic import Field, JsonValue

from sightline.storage.errors import InvalidArgumentError, shown
from sightline.storage.records import annotations as saved_annotations
from sightline.storage.records import assets
from sightline.storage.records.annotations import Annotation
from sightline.storage.retrieval.search_types import (
    Example,
    ImageHit,
    ImageRequest,
    ImageResults,
    Selection,
)
from sightline.storage.types import PassageKind
from sightline.tools.shared import image_input
from sightline.tools.shared.argument_types import (
    BOX_FRAME,
    Box,
    Collection,
    Cursor,
    Detail,
    Filters,
    Limit,
    OptionalText,
    PictureReference,
)
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.images import Crop, EncodedPicture
from sightline.tools.shared.references import (
    AssetReference,
    BranchScore,
    TextEvidence,
    branch_scores,
    refer,
    text_evidence,
)
from sightline.tools.shared.tool_context import Call, dependencies, principal
from sightline.tools.shared.tool_results import (
    NormalisedBox,
    Reranked,
    Result,
    Score,
    Timings,
    as_tool_result,
)
from sightline.tools.view_image import StoredAnnotation, stored

DESCRIPTION = """\
Find pictures (images, document pages, video frames). Describe what should be visible in `query`
("two white vans in front of a brick building", "白色货车"), or give a picture in `image` (only its
part `region`, if you say so), examples in `like` and `unlike`, or any mix; words are also matched
against captions and text in the pictures. Narrow with `filters`, `captured_after` and
`captured_before`. Each hit carries the asset id, the source file and, where known, the box that
matched: cite them, and look with view_image."""

MOST_EXAMPLES = 8
MOST_THUMBNAILS = 4

Examples = Annotated[
    list[str] | None,
    Field(max_length=MOST_EXAMPLES, description="Asset ids, data URLs or allowed file paths."),
]


class FoundImage(AssetReference):
    """One hit, numbered for citation."""

    number: Annotated[int, Field(description="Number to cite, [n].")]
    score: Annotated[Score, Field(description="Orders this search's hits; no probability.")]
    distance: Annotated[
        Score | None,
        Field(description="Least cosine distance of its picture's and text's vectors."),
    ] = None
    below_threshold: Annotated[
        bool | None,
        Field(description="True where no signal stands out from what any picture would get."),
    ] = None
    box: Annotated[NormalisedBox | None, Field(description="The part that matched best.")] = None
    text: Annotated[
        TextEvidence | None, Field(description="The caption or text that matched best.")
    ] = None
    retrievers: Annotated[
        dict[str, BranchScore] | None, Field(description="Rank and score in each branch.")
    ] = None
    duplicates: Annotated[
        list[str] | None, Field(description="Ids of near-identical assets left out.")
    ] = None
    annotations: Annotated[
        list[StoredAnnotation] | None, Field(description="Boxes saved on it; 'detailed' only.")
    ] = None


class ImageSearchResult(Result):
    """Hits, best first; an empty list means that nothing matched."""

    hits: list[FoundImage]
    thresholds: Annotated[
        dict[str, Score],
        Field(description="Branch score above which a hit stands out, by branch."),
    ]
    notes: list[str] | None = None
    reranked: Reranked = None
    thumbnails: Annotated[
        list[int] | None, Field(description="Numbers n of the hits whose thumbnails follow.")
    ] = None
    timings_ms: Timings
    next_cursor: str | None = None


async def search_images(
    deps: Dependencies, request: ImageRequest, *, detailed: bool, thumbnails: int = 0
) -> tuple[ImageSearchResult, list[EncodedPicture]]:
    """Run the search; the result, and the thumbnails of its first ``thumbnails`` hits."""
    found = await deps.image_search(request)
    saved = await _saved(deps, found.hits) if detailed else {}
    hits = [
        _found(number, hit, found, saved.get(hit.asset.id, []), detailed=detailed)
        for number, hit in enumerate(found.hits, 1)
    ]
    pictures = await _thumbnails(deps, found.hits[:thumbnails])
    report = found.report
    return (
        ImageSearchResult(
            hits=hits,
            thresholds={
                name: branch.threshold
                for name, branch in report.branches.items()
                if branch.threshold is not None
            },
            notes=list(report.notes) or None,
            reranked=report.reranked or None,
            thumbnails=list(range(1, len(pictures) + 1)) or None,
            timings_ms=dict(report.timings_ms),
            next_cursor=report.next_cursor,
        ),
        pictures,
    )


def _found(
    number: int,
    hit: ImageHit,
    found: ImageResults,
    saved: Sequence[Annotation],
    *,
    detailed: bool,
) -> FoundImage:
    reference = refer(hit.asset, detailed=detailed)
    distances = [score.distance for score in hit.branches.values() if score.distance is not None]
    return FoundImage(
        **reference.model_dump(),
        number=number,
        score=hit.score,
        distance=min(distances, default=None),
        below_threshold=is_weak(hit, found) or None,
        box=None if hit.region is None else list(hit.region.box),
        text=None if hit.passage is None else text_evidence(hit.passage, detailed=detailed),
        retrievers=branch_scores(hit.branches) if detailed else None,
        duplicates=list(hit.duplicates) or None,
        annotations=[stored(each) for each in saved] or None,
    )


def is_weak(hit: ImageHit, found: ImageResults) -> bool:
    """Whether no branch puts the hit above its threshold.

    A hit that words matched is not weak: words either stand there or do not.
    """
    for name, score in hit.branches.items():
        threshold = found.report.branches[name].threshold
        if threshold is None or score.score >= threshold:
            return False
    return True


async def _saved(deps: Dependencies, hits: Sequence[ImageHit]) -> dict[str, list[Annotation]]:
    database = await deps.database.get()
    async with database.connection() as conn:
        return await saved_annotations.of_assets(conn, [hit.asset.id for hit in hits])


async def _thumbnails(deps: Dependencies, hits: Sequence[ImageHit]) -> list[EncodedPicture]:
    if not hits:
        return []
    database = await deps.database.get()
    async with database.connection() as conn:
        jpegs = [await assets.thumbnail(conn, hit.asset.id) for hit in hits]
    return [EncodedPicture(jpeg, "image/jpeg", *_size(jpeg)) for jpeg in jpegs]


def _size(jpeg: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(jpeg)) as image:
        return image.size


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

    @mcp.tool(
        name="search_images",
        title="Search images",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(
        ctx: Call,
        query: Annotated[
            OptionalText,
            Field(
                description="What should be visible, or words on or about the picture (also of its "
                'file name). Of its text, "words in quotation marks" have to stand together.'
            ),
        ] = "",
        image: PictureReference = "",
        region: Annotated[
            Box | None,
            Field(description="Search by this part of `image` alone. " + BOX_FRAME),
        ] = None,
        like: Examples = None,
        unlike: Examples = None,
        collection: Collection = "",
        filters: Filters = None,
        captured_after: Annotated[
            OptionalText,
            Field(description="Taken at or after: '2026-05-01' or '2026-05-01T06:00'."),
        ] = "",
        captured_before: Annotated[
            OptionalText, Field(description="Taken before: '2026-05-01T17:00'.")
        ] = "",
        visual_weight: Annotated[
            float | None,
            Field(
                ge=0,
                le=1,
                description="1: only what pictures look like; 0: only words. Leave out to balance.",
            ),
        ] = None,
        diversity: Annotated[
            float, Field(ge=0, le=1, description="0: best first; towards 1: hits that differ.")
        ] = 0.0,
        limit: Limit = 5,
        cursor: Cursor = "",
        detail: Detail = "concise",
        thumbnails: Annotated[
            int,
            Field(ge=0, le=MOST_THUMBNAILS, description="Small pictures of the first hits, 0-4."),
        ] = 0,
    ) -> Annotated[CallToolResult, ImageSearchResult]:
        deps = dependencies(ctx)
        picture, cut_from, box = await _picture(deps, image, region)
        request = ImageRequest(
            query=query,
            picture=picture,
            region=box,
            cut_from=cut_from,
            like=await image_input.examples(deps, like or ()),
            unlike=await image_input.examples(deps, unlike or ()),
            selection=selection(collection, filters, captured_after, captured_before),
            visual_weight=visual_weight,
            diversity=diversity,
            limit=deps.limits.results(limit),
            cursor=cursor or None,
            principal=principal(),
        )
        result, pictures = await search_images(
            deps, request, detailed=detail == "detailed", thumbnails=thumbnails
        )
        return as_tool_result(result, pictures)


async def _picture(
    deps: Dependencies, image: str, region: list[float] | None
) -> tuple[Example | None, str | None, Crop | None]:
    """The picture to search by, the asset that it was cut from, and its box there."""
    if region is not None:
        if not image:
            raise InvalidArgumentError(
                f"region {shown(region)} is a part of the picture in image; give image as well"
            )
        return await image_input.part_of(deps, image, region)
    return (await image_input.example(deps, image) if image else None), None, None


def selection(
    collection: str,
    filters: dict[str, JsonValue] | None,
    captured_after: str = "",
    captured_before: str = "",
    kinds: Sequence[PassageKind] = (),
) -> Selection:
    """The arguments that narrow a search, as retrieval takes them."""
    return Selection(
        collections=(collection,) if collection else None,
        filters=filters,
        captured_after=captured_after or None,
        captured_before=captured_before or None,
        kinds=tuple(kinds) or None,
    )
