"""``search_text``: passages by meaning and by word."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from sightline.storage.retrieval.search_types import PassageHit, PassageRequest
from sightline.storage.types import PassageKind
from sightline.tools.search_images import selection
from sightline.tools.shared.argument_types import Collection, Cursor, Detail, Filters, Limit
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.references import (
    AssetReference,
    BranchScore,
    branch_scores,
    refer,
    shortened,
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

DESCRIPTION = """\
Find text: captions, document chunks, table rows, text read in pictures, subtitles, file names. Use
it for names, numbers, part numbers and anything that is written. A hit says where it stands: source
file, page, time, box, and the picture that it belongs to, which view_image shows."""

CONCISE_TEXT_CHARS = 400


class FoundPassage(BaseModel):
    """One hit, numbered for citation."""

    model_config = ConfigDict(extra="forbid")

    number: Annotated[int, Field(description="Number to cite, [n].")]
    passage: Annotated[str, Field(description="Id of the passage.")]
    kind: Annotated[str, Field(description="One of the values of the argument kinds.")]
    text: str
    source: Annotated[str, Field(description="The file it came from, as given at ingest.")]
    collection: str
    score: Annotated[Score, Field(description="Orders this search's hits; no probability.")]
    distance: Score | None = None
    page: int | None = None
    box: Annotated[NormalisedBox | None, Field(description="Where it stands on the asset.")] = None
    seconds: Annotated[
        list[float] | None, Field(description="Start and end in the video, in seconds.")
    ] = None
    characters: Annotated[
        list[int] | None, Field(description="Start and end in the text file, in characters.")
    ] = None
    confidence: Annotated[Score | None, Field(description="Of the text recognition.")] = None
    asset: Annotated[AssetReference | None, Field(description="The picture it stands on.")] = None
    retrievers: dict[str, BranchScore] | None = None


class TextSearchResult(Result):
    """Hits, best first; an empty list means that nothing matched."""

    hits: list[FoundPassage]
    thresholds: Annotated[
        dict[str, Score],
        Field(description="Branch score above which a hit stands out, by branch."),
    ]
    notes: list[str] | None = None
    reranked: Reranked = None
    timings_ms: Timings
    next_cursor: str | None = None


async def search_text(
    deps: Dependencies, request: PassageRequest, *, detailed: bool
) -> TextSearchResult:
    """Run the search."""
    found = await deps.passage_search(request)
    report = found.report
    return TextSearchResult(
        hits=[_found(number, hit, detailed=detailed) for number, hit in enumerate(found.hits, 1)],
        thresholds={
            name: branch.threshold
            for name, branch in report.branches.items()
            if branch.threshold is not None
        },
        notes=list(report.notes) or None,
        reranked=report.reranked or None,
        timings_ms=dict(report.timings_ms),
        next_cursor=report.next_cursor,
    )


def _found(number: int, hit: PassageHit, *, detailed: bool) -> FoundPassage:
    passage = hit.passage
    distances = [score.distance for score in hit.branches.values() if score.distance is not None]
    times = (passage.start_seconds, passage.end_seconds)
    characters = (passage.char_start, passage.char_end)
    return FoundPassage(
        number=number,
        passage=f"p{passage.id}",
        kind=passage.kind,
        text=passage.text if detailed else shortened(passage.snippet, CONCISE_TEXT_CHARS),
        source=passage.source,
        collection=passage.collection,
        score=hit.score,
        distance=min(distances, default=None),
        page=passage.page,
        box=None if passage.box is None else list(passage.box),
        seconds=[moment for moment in times if moment is not None] or None,
        characters=[offset for offset in characters if offset is not None] or None,
        confidence=passage.confidence,
        asset=None if hit.asset is None else refer(hit.asset, detailed=detailed),
        retrievers=branch_scores(hit.branches) if detailed else None,
    )


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

    @mcp.tool(
        name="search_text",
        title="Search text",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(
        ctx: Call,
        query: Annotated[
            str,
            Field(
                description='Words to look for, or a question. "Words in quotation marks" have to '
                "stand together, as they are."
            ),
        ],
        collection: Collection = "",
        kinds: Annotated[
            list[PassageKind] | None, Field(description="Only these kinds of text. All by default.")
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
        result = await search_text(deps, request, detailed=detail == "detailed")
        return as_tool_result(result)
