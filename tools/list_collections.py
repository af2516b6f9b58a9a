"""``list_collections``: what there is to search."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from sightline.storage.records import collections
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_context import Call, dependencies
from sightline.tools.shared.tool_results import Result, as_tool_result

DESCRIPTION = """\
List the collections that can be searched: how many pictures and passages each holds, when its
pictures were taken, and the metadata keys that `filters` accepts, with examples of their values.
Call it when you do not know a collection's name or how to filter."""


class MetadataKey(BaseModel):
    """A key that ``filters`` accepts in this collection."""

    model_config = ConfigDict(extra="forbid")

    key: str
    type: Annotated[str, Field(description="JSON type of its values, or 'mixed'.")]
    assets: Annotated[int, Field(description="How many assets carry it.")]
    examples: list[str]


class CollectionSummary(BaseModel):
    """One collection."""

    model_config = ConfigDict(extra="forbid")

    name: str
    assets: int
    passages: int
    failed_sources: Annotated[int, Field(description="Files that could not be ingested.")]
    captured_from: str | None = None
    captured_to: str | None = None
    encoder: Annotated[
        str | None, Field(description="What its picture vectors were made with.")
    ] = None
    metadata_keys: list[MetadataKey]
    more_metadata_keys: Annotated[
        int | None, Field(description="Rarer keys that are not listed here; they filter as well.")
    ] = None


class CollectionList(Result):
    """Every collection, by name."""

    collections: list[CollectionSummary]


async def list_collections(deps: Dependencies) -> CollectionList:
    """Read from the tables at each call: counts are exact."""
    database = await deps.database.get()
    async with database.connection() as conn:
        overviews = await collections.overview(conn)
    most = deps.limits.metadata_keys
    return CollectionList(collections=[_summarise(each, most) for each in overviews])


def _summarise(overview: collections.Overview, most_keys: int) -> CollectionSummary:
    first, last = overview.captured_from, overview.captured_to
    keys = overview.metadata_keys
    return CollectionSummary(
        name=overview.name,
        assets=overview.assets,
        passages=overview.passages,
        failed_sources=overview.failed_sources,
        captured_from=None if first is None else first.isoformat(timespec="seconds"),
        captured_to=None if last is None else last.isoformat(timespec="seconds"),
        encoder=overview.encoder,
        metadata_keys=[
            MetadataKey(key=key.key, type=key.type, assets=key.assets, examples=list(key.examples))
            for key in keys[:most_keys]
        ],
        more_metadata_keys=max(0, len(keys) - most_keys) or None,
    )


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

    @mcp.tool(
        name="list_collections",
        title="List collections",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(ctx: Call) -> Annotated[CallToolResult, CollectionList]:
        return as_tool_result(await list_collections(dependencies(ctx)))
