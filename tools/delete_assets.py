"""``delete_assets``: delete assets, sources or a whole collection."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError, choices, shown
from sightline.storage.records import deletion, deletion_preview
from sightline.storage.records.deletion import DeletionResult
from sightline.storage.records.deletion_preview import DeletionPreview
from sightline.storage.records.source_text import find_sources
from sightline.tools.shared.argument_types import MAX_NAME_CHARS, ListedId, SourceName
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies
from sightline.tools.shared.tool_results import ToolResult, to_tool_result

DESCRIPTION = """\
Delete `assets` by id, `sources` (whole files) of a `collection`, or without them all of it. For the
latter two the first call only counts; repeat it with its `confirm`. Cannot be undone: ask the user
first. The user's own files stay."""

MAX_ITEMS = 100


class DeletedAssets(ToolResult):
    """What was deleted, or what a call with ``confirm`` would delete."""

    deleted: bool = Field(description="False: nothing was deleted yet.")
    confirm: str | None = Field(
        default=None, description="Repeat the call with this value to delete it."
    )
    collection: str | None = Field(default=None, description="The deleted collection.")
    assets: int
    sources: int = Field(description="Files, also those of deleted assets without another asset.")
    passages: int
    annotations: int


RESULT = DeletedAssets


def confirmation(preview: DeletionPreview) -> str:
    """Return a code that changes with what would be deleted."""
    return hashlib.sha256(repr(preview).encode()).hexdigest()[:8]


async def _whole_names(deps: Dependencies, collection: str, names: Sequence[str]) -> list[str]:
    """Return the names of the sources that a caller may have shortened.

    Raises InvalidArgumentError if several sources end with a name. An unknown name stays.
    """
    whole = []
    async with deps.connection() as connection:
        for name in names:
            found = list(
                dict.fromkeys(
                    each.name for each in await find_sources(connection, name, collection)
                )
            )
            if len(found) > 1:
                raise InvalidArgumentError(
                    f"{shown(name)} is the end of several sources: {choices(found)}. Give a whole "
                    "name."
                )
            whole.append(found[0] if found else name)
    return whole


async def _preview(deps: Dependencies, collection: str, sources: Sequence[str]) -> DeletionPreview:
    database = await deps.database.get()
    if sources:
        return await deletion_preview.preview_sources(database, collection, names=sources)
    return await deletion_preview.preview_collection(database, collection)


def _result(
    counts: DeletionPreview | DeletionResult, collection: str, confirm: str | None = None
) -> CallToolResult:
    values = asdict(counts)
    return to_tool_result(
        DeletedAssets(
            deleted=confirm is None,
            confirm=confirm,
            collection=collection or None,
            notes=None
            if confirm is None
            else ["Nothing was deleted. Ask the user, then repeat the call with `confirm`."],
            **{name: values[name] for name in ("assets", "sources", "passages", "annotations")},
        )
    )


async def tool(
    ctx: Call,
    assets: Annotated[
        list[ListedId] | None, Field(max_length=MAX_ITEMS, description="Asset ids.")
    ] = None,
    sources: Annotated[
        list[SourceName] | None,
        Field(max_length=MAX_ITEMS, description="`source` of hits, in `collection`."),
    ] = None,
    collection: Annotated[
        str, Field(max_length=MAX_NAME_CHARS, description="Name of a collection.")
    ] = "",
    confirm: Annotated[
        str, Field(max_length=MAX_NAME_CHARS, description="`confirm` of the first call.")
    ] = "",
) -> CallToolResult:
    deps = dependencies(ctx)
    if assets:
        if sources or collection or confirm:
            raise InvalidArgumentError(
                "Give either asset ids, or a collection with or without sources. `confirm` is for "
                "the latter."
            )
        database = await deps.database.get()
        return _result(await deletion.delete_assets(database, deps.blobs, assets), "")
    if not collection:
        raise InvalidArgumentError(
            "Nothing to delete. Give asset ids in `assets`, or a `collection`, for some of its "
            "files with their names in `sources`."
        )
    if not sources and (sources is not None or assets is not None):
        empty = "assets" if sources is None else "sources"
        raise InvalidArgumentError(
            f"`{empty}` is an empty list, so nothing is deleted. Give its items. Only a call "
            "without `assets` and `sources` deletes a whole `collection`."
        )
    sources = await _whole_names(deps, collection, sources or ())
    preview = await _preview(deps, collection, sources)
    code = confirmation(preview)
    whole = "" if sources else preview.collection
    if not confirm:
        return _result(preview, whole, code)
    if confirm != code:
        raise InvalidArgumentError(
            f"confirm {confirm!r} does not fit what would be deleted now: {preview.assets:,} "
            f"assets of {preview.sources:,} files. Call without `confirm` to see it."
        )
    database = await deps.database.get()
    if sources:
        deleted = await deletion.delete_sources(
            database, deps.blobs, collection, names=sources, confirmed=preview
        )
    else:
        deleted = await deletion.delete_collection(
            database, deps.blobs, collection, confirmed=preview
        )
    return _result(deleted, whole)
