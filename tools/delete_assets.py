"""``delete_assets``: take pictures out of a collection."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from sightline.storage.records import deletion
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_context import Call, dependencies
from sightline.tools.shared.tool_results import Result, as_tool_result

DESCRIPTION = """\
Delete assets by id, with their vectors, passages and annotations. The files on disk stay as they
are. It cannot be undone: ask the user first. All of the ids are deleted, or, if one of them does
not exist, none."""

MOST_ASSETS = 100


class DeletedAssets(Result):
    """What is gone."""

    deleted: list[str]
    sources: Annotated[int, Field(description="Sources that had no other asset, gone as well.")]


async def delete_assets(deps: Dependencies, ids: list[str]) -> DeletedAssets:
    """Delete ``ids``; raises UnknownAssetError, deleting nothing, when one does not exist."""
    wanted = list(dict.fromkeys(ids))
    gone = await deletion.delete_assets(await deps.database.get(), deps.objects, wanted)
    return DeletedAssets(deleted=wanted, sources=gone.sources)


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

    @mcp.tool(
        name="delete_assets",
        title="Delete assets",
        description=DESCRIPTION,
        annotations=ToolAnnotations(
            read_only_hint=False,
            destructive_hint=True,
            idempotent_hint=False,
            open_world_hint=False,
        ),
    )
    async def tool(
        ctx: Call,
        assets: Annotated[
            list[str],
            Field(description="Asset ids to delete.", min_length=1, max_length=MOST_ASSETS),
        ],
    ) -> Annotated[CallToolResult, DeletedAssets]:
        return as_tool_result(await delete_assets(dependencies(ctx), assets))
