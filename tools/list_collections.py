"""``list_collections``: list the collections that can be searched."""

from __future__ import annotations

from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.records import collections
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies
from sightline.tools.shared.tool_results import ToolModel, ToolResult, isoformat, to_tool_result

DESCRIPTION = """\
List the collections that can be searched: number of images and passages, capture times, and the
metadata keys that `filters` accepts, with example values. Call it when you do not know a
collection's name or how to filter."""


class MetadataKeySummary(ToolModel):
    """A key that ``filters`` accepts in this collection."""

    key: str
    type: str = Field(description="JSON type of its values, or 'mixed'.")
    assets: int = Field(description="Number of assets with this key.")
    examples: list[str]


class CollectionSummary(ToolModel):
    """One collection."""

    name: str
    assets: int
    passages: int
    failed_sources: int = Field(description="Files that could not be ingested.")
    captured_from: str | None = None
    captured_to: str | None = None
    encoder: str | None = Field(default=None, description="Encoder of its image vectors.")
    metadata_keys: list[MetadataKeySummary]
    more_metadata_keys: int | None = Field(
        default=None, description="Number of rarer keys, not listed; they filter as well."
    )


class CollectionList(ToolResult):
    """Every collection, by name."""

    collections: list[CollectionSummary]


async def summarize_collections(deps: Dependencies) -> list[CollectionSummary]:
    """Return all collections with exact counts, ordered by name."""
    async with deps.connection() as connection:
        overviews = await collections.list_overviews(connection)
    max_keys = deps.limits.max_metadata_keys
    return [
        CollectionSummary(
            name=each.name,
            assets=each.assets,
            passages=each.passages,
            failed_sources=each.failed_sources,
            captured_from=isoformat(each.captured_from),
            captured_to=isoformat(each.captured_to),
            encoder=each.encoder,
            metadata_keys=[
                MetadataKeySummary.model_validate(key) for key in each.metadata_keys[:max_keys]
            ],
            more_metadata_keys=max(0, len(each.metadata_keys) - max_keys) or None,
        )
        for each in overviews
    ]


async def tool(ctx: Call) -> Annotated[CallToolResult, CollectionList]:
    summaries = await summarize_collections(dependencies(ctx))
    return to_tool_result(CollectionList(collections=summaries))
