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
    NormalizedBox,
    Reranked,
    RetrieverRank,
    Score,
    Thresholds,
    Timings,
    ToolModel,
    ToolResult,
    asset_reference,
    cut,
    detail_chars,
    min_distance,
    report_fields,
    retriever_ranks,
    short_source,
    shorten,
    to_tool_result,
)

DESCRIPTION = """\
Find text: captions, document chunks, table rows, text in images, subtitles, file names. Use it for
names, numbers, part numbers and anything written. A hit has its source file, page, time, box, and
the image that it belongs to, for view_image."""

_MAX_TEXT_CHARS = 400


class TextSearchHit(ToolModel):
    """One hit, numbered for citation."""

    number: int = Field(description="Number to cite, [number].")
    passage: str = Field(description="Passage id.")
    kind: str = Field(description="A value of the argument kinds.")
    text: str
    source: str = Field(description="File name at ingest.")
    collection: str
    score: Score = Field(description="Orders the hits of this search only.")
    distance: Score | None = None
    page: int | None = None
    box: NormalizedBox | None = Field(default=None, description="Place on the asset.")
    seconds: list[float] | None = Field(
        default=None, description="Start and end in the video, in seconds."
    )
    characters: list[int] | None = Field(
        default=None, description="Start and end in the text file, in characters."
    )
    confidence: Score | None = Field(default=None, description="Confidence of OCR.")
    asset: AssetReference | None = Field(default=None, description="The image it is on.")
    retrievers: dict[str, RetrieverRank] | None = None


class TextSearchResult(ToolResult):
    """Hits, best first; empty if nothing matched."""

    hits: list[TextSearchHit]
    thresholds: Thresholds
    reranked: Reranked = None
    timings_ms: Timings
    next_cursor: str | None = None


def _hit(number: int, hit: PassageHit, *, detailed: bool, hits: int) -> TextSearchHit:
    passage = hit.passage
    seconds = (passage.start_seconds, passage.end_seconds)
    characters = (passage.char_start, passage.char_end)
    return TextSearchHit(
        number=number,
        passage=f"p{passage.id}",
        kind=passage.kind,
        text=(
            cut(passage.text, detail_chars(hits))
            if detailed
            else shorten(passage.snippet, _MAX_TEXT_CHARS)
        ),
        source=short_source(passage.source),
        collection=passage.collection,
        score=hit.score,
        distance=min_distance(hit),
        page=passage.page,
        box=passage.box,
        seconds=[each for each in seconds if each is not None] or None,
        characters=[each for each in characters if each is not None] or None,
        confidence=passage.confidence,
        asset=asset_reference(hit.asset, detailed=detailed, hits=hits) if hit.asset else None,
        retrievers=retriever_ranks(hit.retrievers) if detailed else None,
    )


async def tool(
    ctx: Call,
    query: Annotated[
        str,
        Field(description='Words or a question. "Quoted words" must match exactly.'),
    ],
    collection: Collection = "",
    kinds: Annotated[
        list[PassageKind] | None, Field(description="Kinds of text to search. Default: all.")
    ] = None,
    filters: Filters = None,
    limit: Limit = 5,
    cursor: Cursor = "",
    detail: Detail = "concise",
) -> Annotated[CallToolResult, TextSearchResult]:
    deps = dependencies(ctx)
    request = PassageRequest(
        query=query,
        selection=selection(collection, filters, kinds=kinds or ()),
        limit=deps.limits.results(limit),
        cursor=cursor or None,
        principal=principal(),
    )
    results = await deps.passage_search(request)
    hits = [
        _hit(number, hit, detailed=detail == "detailed", hits=len(results.hits))
        for number, hit in enumerate(results.hits, 1)
    ]
    result = TextSearchResult(
        hits=hits,
        **report_fields(results.report),
    )
    return to_tool_result(result)
