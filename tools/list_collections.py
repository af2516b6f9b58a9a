"""``list_collections``: list the collections that can be searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.records import collections
from sightline.storage.records.collections import CollectionOverview
from sightline.tools.shared.argument_types import MAX_NAME_CHARS, OptionalText
from sightline.tools.shared.dependencies import Call, dependencies
from sightline.tools.shared.limits import Limits
from sightline.tools.shared.tool_results import ToolModel, ToolResult, isoformat, to_tool_result

DESCRIPTION = """\
List the collections that can be searched: number of images and passages, capture times, and the
metadata keys that `filters` accepts, with example values. Call it when you do not know a
collection's name or how to filter. Lists 50 at a time."""

#: Collections of one result.
MAX_COLLECTIONS = 50
#: Metadata keys of one result, and the longest key that is listed.
_MAX_RESULT_KEYS = 400
_MAX_KEY_CHARS = 100


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
        default=None, description="Number of other keys, not listed; they filter as well."
    )


class CollectionList(ToolResult):
    """Collections, by name."""

    collections: list[CollectionSummary]
    more_collections: int | None = Field(
        default=None, description="Number after the last one; see `after`."
    )


def summarize(overviews: Sequence[CollectionOverview], limits: Limits) -> list[CollectionSummary]:
    """Describe collections, each with a share of the metadata keys of one result."""
    share = _MAX_RESULT_KEYS // max(1, len(overviews))
    return [_summary(each, min(limits.max_metadata_keys, share)) for each in overviews]


def _summary(overview: CollectionOverview, max_keys: int) -> CollectionSummary:
    keys = [key for key in overview.metadata_keys if len(key.key) <= _MAX_KEY_CHARS][:max_keys]
    return CollectionSummary(
        name=overview.name,
        assets=overview.assets,
        passages=overview.passages,
        failed_sources=overview.failed_sources,
        captured_from=isoformat(overview.captured_from),
        captured_to=isoformat(overview.captured_to),
        encoder=overview.encoder,
        metadata_keys=[MetadataKeySummary.model_validate(key) for key in keys],
        more_metadata_keys=len(overview.metadata_keys) - len(keys) or None,
    )


async def tool(
    ctx: Call,
    after: Annotated[
        OptionalText,
        Field(
            max_length=MAX_NAME_CHARS,
            description="Continue after this name.",
        ),
    ] = "",
) -> Annotated[CallToolResult, CollectionList]:
    deps = dependencies(ctx)
    async with deps.connection() as connection:
        ids, more = await collections.list_page(connection, after=after, limit=MAX_COLLECTIONS)
        overviews = await collections.list_overviews(connection, ids)
    summaries = summarize(overviews, deps.limits)
    return to_tool_result(CollectionList(collections=summaries, more_collections=more or None))
