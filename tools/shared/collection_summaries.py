"""Summaries of collections, for ``list_collections`` and the resource."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sightline.storage.records import collections
from sightline.storage.records.collections import CollectionOverview
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.references import isoformat
from sightline.tools.shared.tool_results import ToolModel


class MetadataKeySummary(ToolModel):
    """A key that ``filters`` accepts in this collection."""

    key: str
    type: Annotated[str, Field(description="JSON type of its values, or 'mixed'.")]
    assets: Annotated[int, Field(description="Number of assets with this key.")]
    examples: list[str]


class CollectionSummary(ToolModel):
    """One collection."""

    name: str
    assets: int
    passages: int
    failed_sources: Annotated[int, Field(description="Files that could not be ingested.")]
    captured_from: str | None = None
    captured_to: str | None = None
    encoder: Annotated[str | None, Field(description="Encoder of its image vectors.")] = None
    metadata_keys: list[MetadataKeySummary]
    more_metadata_keys: Annotated[
        int | None, Field(description="Number of rarer keys, not listed; they filter as well.")
    ] = None


async def summarize_collections(deps: Dependencies) -> list[CollectionSummary]:
    """Return all collections with exact counts, ordered by name."""
    async with deps.connection() as connection:
        overviews = await collections.list_overviews(connection)
    return [_summarize(each, deps.limits.max_metadata_keys) for each in overviews]


def _summarize(overview: CollectionOverview, max_keys: int) -> CollectionSummary:
    keys = overview.metadata_keys
    return CollectionSummary(
        name=overview.name,
        assets=overview.assets,
        passages=overview.passages,
        failed_sources=overview.failed_sources,
        captured_from=isoformat(overview.captured_from),
        captured_to=isoformat(overview.captured_to),
        encoder=overview.encoder,
        metadata_keys=[MetadataKeySummary.model_validate(key) for key in keys[:max_keys]],
        more_metadata_keys=max(0, len(keys) - max_keys) or None,
    )
