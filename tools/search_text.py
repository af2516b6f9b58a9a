"""``search_text``: search passages by meaning and by words."""

from __future__ import annotations

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.retrieval.search_types import PassageHit, PassageRequest
from sightline.storage.types import PassageKind
from sightline.tools.shared.argument_types import (
    Collection,
    Cursor,
    Detail,
    Filters,
    Limit,
    selection,
)
from sightline.tools.shared.dependencies import Call, dependencies, principal
from sightline.tools.shared.tool_results import (
    AssetReference,
    HitScore,
    NormalizedBox,
    Reranked,
    RetrieverRank,
    Score,
    Thresholds,
    Timings,
    ToolModel,
    ToolResult,
    Total,
    asset_reference,
    cut,
    detail_chars,
    hit_score,
    min_distance,
    report_fields,
    retriever_ranks,
    shared_collection,
    short_source,
    shorten,
    to_tool_result,
)

DESCRIPTION = """\
Find text: captions, documents, table rows, text in images, subtitles, speech, file names. For
names, numbers, part numbers and anything written. `asset` is the image that the text is on."""

_MAX_TEXT_CHARS = 240


class TextSearchHit(ToolModel):
    """One hit, numbered for citation."""

    number: int = Field(description="Number to cite, [number].")
    passage: str = Field(description="Passage id.")
    kind: str = Field(description="A value of the argument kinds.")
    text: str
    source: str = Field(description="Name of the file; of a long path, the end.")
    collection: str | None = Field(
        default=None, description="Absent if the result states it for all hits."
    )
    score: HitScore = None
    distance: Score | None = None
    weak: bool | None = Field(default=None, description="True: no better match than chance.")
    page: int | None = None
    box: NormalizedBox | None = Field(default=None, description="Place on the asset.")
    seconds: list[float] | None = Field(
        default=None, description="Start and end in the video, in seconds."
    )
    characters: list[int] | None = Field(
        default=None, description="Start and end in the text file, in characters."
    )
    confidence: Score | None = Field(default=None, description="Confidence of OCR.")
    asset: str | None = Field(default=None, description="Id of the image that the text is on.")
    image: AssetReference | None = Field(
        default=None, description="The image that the text is on; 'detailed' only."
    )
    retrievers: dict[str, RetrieverRank] | None = Field(default=None, description="'detailed'.")


class TextSearchResult(ToolResult):
    """Hits, best first; empty if nothing matched."""

    hits: list[TextSearchHit]
    collection: str | None = Field(default=None, description="The collection of all hits.")
    total: Total = None
    thresholds: Thresholds = None
    reranked: Reranked = None
    timings_ms: Timings
    next_cursor: str | None = None


RESULT = TextSearchResult


def _hit(
    number: int, hit: PassageHit, *, detailed: bool, collection: str | None, hits: int
) -> TextSearchHit:
    passage = hit.passage
    seconds = (passage.start_seconds, passage.end_seconds)
    characters = (passage.char_start, passage.char_end)
    image = asset_reference(hit.asset, detailed=True, hits=hits) if hit.asset else None
    return TextSearchHit(
        number=number,
        passage=f"p{passage.id}",
        kind=passage.kind,
        text=(
            cut(passage.text, detail_chars(hits))
            if detailed
            else shorten(passage.snippet, _MAX_TEXT_CHARS)
        ),
        source=short_source(passage.source, detailed=detailed),
        collection=None if collection else passage.collection,
        score=hit_score(hit),
        distance=min_distance(hit),
        weak=hit.weak or None,
        page=passage.page,
        box=passage.box,
        seconds=[each for each in seconds if each is not None] or None,
        characters=[each for each in characters if each is not None] or None,
        confidence=passage.confidence,
        asset=passage.asset_id,
        image=image if detailed else None,
        retrievers=retriever_ranks(hit.retrievers) if detailed else None,
    )


async def tool(
    ctx: Call,
    query: Annotated[
        str,
        Field(
            description='Words or a question. "Quoted words" must match exactly. Omit to list '
            "what the filters match."
        ),
    ] = "",
    collection: Collection = "",
    kinds: Annotated[list[PassageKind] | None, Field(description="Default: all.")] = None,
    filters: Filters = None,
    limit: Limit = 5,
    cursor: Cursor = "",
    detail: Detail = "concise",
) -> CallToolResult:
    deps = dependencies(ctx)
    request = PassageRequest(
        query=query,
        selection=selection(collection, filters, kinds=kinds or ()),
        limit=deps.limits.results(limit),
        cursor=cursor or None,
        principal=principal(),
    )
    results = await deps.passage_search(request)
    detailed = detail == "detailed"
    shared = shared_collection((hit.passage.collection for hit in results.hits), detailed=detailed)
    hits = [
        _hit(
            number,
            hit,
            detailed=detailed,
            collection=shared,
            hits=len(results.hits),
        )
        for number, hit in enumerate(results.hits, 1)
    ]
    result = TextSearchResult(
        hits=hits, collection=shared, **report_fields(results.report, detailed=detailed)
    )
    return to_tool_result(result)
