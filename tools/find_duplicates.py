"""``find_duplicates``: find identical and nearly identical images."""

from __future__ import annotations

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.records import assets
from sightline.tools.shared.argument_types import Collection, Filters, selection
from sightline.tools.shared.dependencies import Call, dependencies
from sightline.tools.shared.tool_results import (
    Score,
    ToolModel,
    ToolResult,
    short_source,
    to_tool_result,
)

DESCRIPTION = """\
Find groups of identical or nearly identical images (copies, resized, recompressed) among all that
filters match. The first of a group is the largest."""


class DuplicateImage(ToolModel):
    """An image of a group."""

    asset: str
    source: str = Field(description="Name of the file; of a long path, the end.")
    collection: str
    size: list[int] = Field(description="Width and height in pixels.")
    distance: Score | None = Field(
        default=None, description="Cosine distance to the first; 0: the same bytes."
    )


class DuplicateImages(ToolModel):
    """Images that show the same, the largest first."""

    images: list[DuplicateImage]
    more: int | None = Field(default=None, description="Number of images left out.")


class DuplicatesResult(ToolResult):
    """Groups, the largest first."""

    groups: list[DuplicateImages]
    total_groups: int
    redundant: int = Field(description="Images that are not the first of their group.")
    compared: int = Field(description="Number of images that were compared.")
    next_offset: int | None = Field(default=None, description="`offset` of the next groups.")


RESULT = DuplicatesResult


async def tool(
    ctx: Call,
    collection: Collection = "",
    filters: Filters = None,
    limit: Annotated[int, Field(description="Groups, 1 to 50, default 10.")] = 10,
    offset: Annotated[int, Field(description="next_offset of the last result.")] = 0,
) -> CallToolResult:
    deps = dependencies(ctx)
    # Imports numpy, for which the handshake must not wait.
    from sightline.storage.retrieval.duplicates import find_duplicates

    found = await find_duplicates(
        await deps.database.get(),
        selection(collection, filters),
        limit=deps.limits.results(limit),
        offset=offset,
    )
    ids = [each.id for group in found.groups for each in group.assets]
    async with deps.connection() as connection:
        records = await assets.find(connection, ids)
    groups = []
    for group in found.groups:
        images = [
            DuplicateImage(
                asset=each.id,
                source=short_source(records[each.id].source, detailed=False),
                collection=records[each.id].collection,
                size=[records[each.id].width, records[each.id].height],
                distance=each.distance,
            )
            for each in group.assets
            if each.id in records  # not deleted meanwhile
        ]
        groups.append(DuplicateImages(images=images, more=group.size - len(images) or None))
    return to_tool_result(
        DuplicatesResult(
            groups=groups,
            total_groups=found.total_groups,
            redundant=found.redundant,
            compared=found.compared,
            next_offset=found.next_offset,
            notes=list(found.notes) or None,
        )
    )
