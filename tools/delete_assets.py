"""``delete_assets``: delete images from their collections."""

from __future__ import annotations

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.records import deletion
from sightline.tools.shared.argument_types import ListedId
from sightline.tools.shared.dependencies import Call, dependencies
from sightline.tools.shared.tool_results import ToolResult, to_tool_result

DESCRIPTION = """\
Delete assets by id, with their vectors, passages and annotations. The user's own files stay. This
cannot be undone: ask the user first. Deletes all of the ids, or none if one does not exist."""

MAX_ASSETS = 100


class DeletedAssets(ToolResult):
    """What was deleted."""

    deleted: list[str]
    sources: int = Field(description="Deleted sources, which had no other asset.")


async def tool(
    ctx: Call,
    assets: Annotated[
        list[ListedId],
        Field(description="Asset ids to delete.", min_length=1, max_length=MAX_ASSETS),
    ],
) -> Annotated[CallToolResult, DeletedAssets]:
    deps = dependencies(ctx)
    ids = list(dict.fromkeys(assets))
    result = await deletion.delete_assets(await deps.database.get(), deps.blobs, ids)
    return to_tool_result(DeletedAssets(deleted=ids, sources=result.sources))
