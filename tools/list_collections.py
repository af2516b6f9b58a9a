"""``list_collections``: list the collections that can be searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.records import collections
from sightline.storage.records.collections import CollectionOverview
from sightline.storage.records.filter_keys import BUILT_IN_KEYS
from sightline.tools.shared.argument_types import MAX_NAME_CHARS
from sightline.tools.shared.dependencies import Call, dependencies
from sightline.tools.shared.limits import Limits
from sightline.tools.shared.tool_results import ToolModel, ToolResult, isoformat, to_tool_result

DESCRIPTION = """\
List the collections: number of images and passages, capture times, and all keys that `filters`
accepts, with example values. Call it to learn a collection's name or how to filter."""

#: Collections of one result.
MAX_COLLECTIONS = 50
#: Metadata keys of one result, and the longest key that is listed.
_MAX_RESULT_KEYS = 400
_MAX_KEY_CHARS = 100
_NO_KEYS = "Reading the metadata keys took too long, so none is listed; they filter as well."


_FILTER_KEYS = {key: f"{each.type}: {each.meaning}" for key, each in BUILT_IN_KEYS.items()}


class MetadataKeySummary(ToolModel):
    """A key that ``filters`` accepts in this collection."""

    key: str
    type: str = Field(description="JSON type of its values, or 'mixed'.")
    assets: int = Field(
        description="Number of assets with this key, estimated in a large collection."
    )
    examples: list[str]


class CollectionSummary(ToolModel):
    """One collection."""

    name: str
    description: str | None = None
    assets: int
    passages: int
    failed_sources: int = Field(description="Files that could not be ingested.")
    captured_from: str | None = None
    captured_to: str | None = None
    encoder: str | None = Field(default=None, description="Encoder of its image vectors.")
    metadata_keys: list[MetadataKeySummary]
    more_metadata_keys: int | None = Field(
        default=None, description="Number of other keys found, not listed; they filter as well."
    )


class CollectionList(ToolResult):
    """Collections, by name."""

    collections: list[CollectionSummary]
    filter_keys: dict[str, str] | None = Field(
        default=None, description="Keys that filter every collection, besides its metadata."
    )
    more_collections: int | None = Field(
        default=None, description="Number after the last one; see `after`."
    )


RESULT = CollectionList


def summarize(overviews: Sequence[CollectionOverview], limits: Limits) -> list[CollectionSummary]:
    """Describe collections, each with a share of the metadata keys of one result."""
    share = _MAX_RESULT_KEYS // max(1, len(overviews))
    return [_summary(each, min(limits.max_metadata_keys, share)) for each in overviews]


def _summary(overview: CollectionOverview, max_keys: int) -> CollectionSummary:
    found = overview.metadata_keys or ()
    keys = [key for key in found if len(key.key) <= _MAX_KEY_CHARS][:max_keys]
    return CollectionSummary(
        name=overview.name,
        description=overview.description or None,
        assets=overview.assets,
        passages=overview.passages,
        failed_sources=overview.failed_sources,
        captured_from=isoformat(overview.captured_from),
        captured_to=isoformat(overview.captured_to),
        encoder=overview.encoder,
        metadata_keys=[MetadataKeySummary.model_validate(key) for key in keys],
        more_metadata_keys=overview.found_metadata_keys - len(keys) or None,
    )


async def tool(
    ctx: Call,
    after: Annotated[
        str,
        Field(
            max_length=MAX_NAME_CHARS,
            description="Continue after this name; lists 50 at a time.",
        ),
    ] = "",
) -> CallToolResult:
    deps = dependencies(ctx)
    async with deps.connection() as connection:
        ids, more = await collections.list_page(connection, after=after, limit=MAX_COLLECTIONS)
        overviews = await collections.list_overviews(connection, ids)
    summaries = summarize(overviews, deps.limits)
    notes = [_NO_KEYS] if any(each.metadata_keys is None for each in overviews) else None
    return to_tool_result(
        CollectionList(
            collections=summaries,
            filter_keys=_FILTER_KEYS if summaries else None,
            more_collections=more or None,
            notes=notes,
        )
    )
