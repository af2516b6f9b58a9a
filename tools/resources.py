"""Resources: the pictures and collections behind the results, by address."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from typing import TypeVar

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from sightline.storage.errors import (
    InvalidArgumentError,
    SightlineError,
    UnknownAssetError,
    UnknownNameError,
    shown,
)
from sightline.storage.records import annotations as saved_annotations
from sightline.storage.records import assets
from sightline.storage.records.assets import Asset
from sightline.tools.list_collections import list_collections
from sightline.tools.shared import annotation_uri, images
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.drawing import Marked, Style, draw
from sightline.tools.shared.tool_context import Call, dependencies
from sightline.tools.view_image import load_picture

T = TypeVar("T")

_ID_DIGITS = 18


async def asset_picture(ctx: Call, asset: str) -> bytes:
    """The picture as JPEG, its longer edge at most the server's limit, without metadata."""
    deps = dependencies(ctx)
    database = await deps.database.get()
    async with database.connection() as conn:
        record = await assets.fetch_one(conn, asset)
    image = await load_picture(deps, record)
    encoded = await anyio.to_thread.run_sync(
        lambda: images.encode(
            image, max_edge=deps.limits.view_edge_pixels, max_bytes=deps.limits.inline_bytes
        ),
        limiter=deps.picture_threads,
    )
    return encoded.data


async def annotated_picture(ctx: Call, asset: str, annotation: str) -> bytes:
    """The picture as JPEG with one saved annotation drawn on it."""
    deps = dependencies(ctx)
    if not annotation.isascii() or not annotation.isdigit() or len(annotation) > _ID_DIGITS:
        raise InvalidArgumentError(f"{shown(annotation)} is not the id of an annotation, a number")
    database = await deps.database.get()
    async with database.connection() as conn:
        record = await assets.fetch_one(conn, asset)
        saved = await saved_annotations.get(conn, int(annotation))
    if saved.asset_id != record.id:
        raise InvalidArgumentError(f"annotation {annotation} is not on asset {record.id}")
    return await _drawn_on(deps, record, [Marked(saved.box, saved.label)])


async def drawn_picture(ctx: Call, asset: str, code: str) -> bytes:
    """The picture as JPEG with the boxes drawn on it that its address holds."""
    deps = dependencies(ctx)
    boxes, style = annotation_uri.read(code)
    database = await deps.database.get()
    async with database.connection() as conn:
        record = await assets.fetch_one(conn, asset)
    return await _drawn_on(deps, record, boxes, style)


async def _drawn_on(
    deps: Dependencies, record: Asset, boxes: Sequence[Marked], style: Style = "box"
) -> bytes:
    image = await load_picture(deps, record)
    edge = deps.limits.view_edge_pixels

    def render() -> bytes:
        # Drawn at the size at which it is shown, so that lines and letters stay clear.
        shown = image.copy()
        shown.thumbnail((edge, edge))
        drawn = draw(shown, boxes, style=style)
        return images.encode(drawn, max_edge=edge, max_bytes=deps.limits.inline_bytes).data

    return await anyio.to_thread.run_sync(render, limiter=deps.picture_threads)


async def asset_thumbnail(ctx: Call, asset: str) -> bytes:
    """The small JPEG that was made at ingest."""
    database = await dependencies(ctx).database.get()
    async with database.connection() as conn:
        return await assets.thumbnail(conn, asset)


async def collection_summary(ctx: Call, name: str) -> str:
    """What ``list_collections`` says of one collection, as JSON."""
    listed = await list_collections(dependencies(ctx))
    for summary in listed.collections:
        if summary.name == name:
            return summary.model_dump_json(exclude_none=True)
    raise UnknownNameError("collection", name, (each.name for each in listed.collections))


def register(mcp: MCPServer) -> None:
    """Offer the resources. What does not exist is "not found"; other failures say what failed."""

    @mcp.resource(
        "sightline://asset/{asset}",
        name="asset",
        title="Picture",
        description="An asset's picture as JPEG.",
        mime_type="image/jpeg",
    )
    async def picture(asset: str, ctx: Call) -> bytes:
        return await _named(asset_picture(ctx, asset))

    @mcp.resource(
        "sightline://asset/{asset}/thumbnail",
        name="thumbnail",
        title="Thumbnail",
        description="An asset's thumbnail as JPEG.",
        mime_type="image/jpeg",
    )
    async def thumbnail(asset: str, ctx: Call) -> bytes:
        return await _named(asset_thumbnail(ctx, asset))

    @mcp.resource(
        "sightline://asset/{asset}/annotated/{annotation}",
        name="annotated",
        title="Annotated picture",
        description="An asset's picture as JPEG with one saved annotation drawn on it.",
        mime_type="image/jpeg",
    )
    async def annotated(asset: str, annotation: str, ctx: Call) -> bytes:
        return await _named(annotated_picture(ctx, asset, annotation))

    @mcp.resource(
        "sightline://asset/{asset}/drawn/{boxes}",
        name="drawn",
        title="Picture with boxes",
        description="An asset's picture as JPEG with the boxes that annotate_image drew.",
        mime_type="image/jpeg",
    )
    async def drawn(asset: str, boxes: str, ctx: Call) -> bytes:
        return await _named(drawn_picture(ctx, asset, boxes))

    @mcp.resource(
        "sightline://collection/{name}",
        name="collection",
        title="Collection",
        description="What a collection holds and which metadata keys filter it.",
        mime_type="application/json",
    )
    async def collection(name: str, ctx: Call) -> str:
        return await _named(collection_summary(ctx, name))


async def _named(reading: Awaitable[T]) -> T:
    """What is read; failures that we name become the SDK's."""
    try:
        return await reading
    except SightlineError as error:
        raise as_resource_error(error) from error


def as_resource_error(error: SightlineError) -> ResourceError:
    """The SDK's error for a failure that we name."""
    kind = (
        ResourceNotFoundError
        if isinstance(error, UnknownAssetError | UnknownNameError)
        else ResourceError
    )
    return kind(str(error))
