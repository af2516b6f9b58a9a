"""``list_collections``: list the collections that can be searched."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations

from sightline.tools.shared.collection_summaries import CollectionSummary, summarize_collections
from sightline.tools.shared.dependencies import Call, dependencies
from sightline.tools.shared.tool_results import ToolModel, to_tool_result

DESCRIPTION = """\
List the collections that can be searched: number of images and passages, capture times, and the
metadata keys that `filters` accepts, with example values. Call it when you do not know a
collection's name or how to filter."""


class CollectionList(ToolModel):
    """Every collection, by name."""

    collections: list[CollectionSummary]


def register(mcp: MCPServer) -> None:
    """Register the tool."""

    @mcp.tool(
        name="list_collections",
        title="List collections",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(ctx: Call) -> Annotated[CallToolResult, CollectionList]:
        summaries = await summarize_collections(dependencies(ctx))
        return to_tool_result(CollectionList(collections=summaries))
