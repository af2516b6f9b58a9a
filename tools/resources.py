"""Resources: images and collections by URI."""

from __future__ import annotations

import base64
import json
from collections.abc import Awaitable, Callable, Sequence
from functools import wraps
from typing import Any

from mcp.server.mcpserver import MCPServer

from sightline.storage.errors import (
    InvalidArgumentError,
    SightlineError,
    shown,
)
from sightline.storage.fair_semaphore import FairSemaphore
from sightline.storage.ingest.decode.render.overlays import BoxOverlay, Style
from sightline.storage.isolation.caller import current_caller
from sightline.storage.isolation.caller_cache import TtlCache
from sightline.storage.records import annotations as annotation_records
from sightline.storage.records import assets, collections
from sightline.storage.records.assets import Asset
from sightline.storage.types import Box
from sightline.tools.list_collections import summarize
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies
from sightline.tools.shared.image_loading import render_asset
from sightline.tools.shared.images import parse_corners
from sightline.tools.shared.overlay_uri import decode_overlays
from sightline.tools.shared.tool_results import to_resource_error

_MAX_ID_DIGITS = 18
_MAX_MAPS = 4
_MAX_MAPS_IN_TOTAL = 16
_MAP_SECONDS = 120.0


async def asset_image(asset: str, ctx: Call) -> bytes:
    """Return the image as JPEG without metadata, at most as large as in view_image."""
    deps = dependencies(ctx)
    return await _render(deps, await _fetch_asset(deps, asset), [])


async def annotated_image(asset: str, annotation: str, ctx: Call) -> bytes:
    deps = dependencies(ctx)
    if not annotation.isascii() or not annotation.isdigit() or len(annotation) > _MAX_ID_DIGITS:
        raise InvalidArgumentError(f"{shown(annotation)} is not an annotation id. Give a number.")
    async with deps.connection() as connection:
        record = await assets.fetch_one(connection, asset)
        saved = await annotation_records.get(connection, int(annotation))
    if saved.asset_id != record.id:
        raise InvalidArgumentError(f"The annotation {annotation} is not on the asset {record.id}.")
    return await _render(deps, record, [BoxOverlay(saved.box, saved.label)])


async def drawn_image(asset: str, boxes: str, ctx: Call) -> bytes:
    """Return the image as JPEG with the boxes that are encoded in the URI."""
    deps = dependencies(ctx)
    overlays, style = decode_overlays(boxes)
    return await _render(deps, await _fetch_asset(deps, asset), overlays, style)


async def cropped_image(asset: str, x0: str, y0: str, x1: str, y1: str, ctx: Call) -> bytes:
    """Return the part of the image as JPEG, enlarged as in view_image."""
    crop, deps = parse_corners([x0, y0, x1, y1]), dependencies(ctx)
    return await _render(deps, await _fetch_asset(deps, asset), [], crop=crop)


async def drawn_crop(
    asset: str, x0: str, y0: str, x1: str, y1: str, boxes: str, ctx: Call
) -> bytes:
    crop, deps = parse_corners([x0, y0, x1, y1]), dependencies(ctx)
    overlays, style = decode_overlays(boxes)
    return await _render(deps, await _fetch_asset(deps, asset), overlays, style, crop)


async def asset_thumbnail(asset: str, ctx: Call) -> bytes:
    async with dependencies(ctx).connection() as connection:
        return await assets.thumbnail(connection, asset)


async def collection_summary(name: str, ctx: Call) -> str:
    deps = dependencies(ctx)
    async with deps.connection() as connection:
        collection = await collections.get(connection, name)
        overviews = await collections.list_overviews(connection, [collection.id])
    (summary,) = summarize(overviews, deps.limits)
    return summary.model_dump_json(exclude_none=True)


class CollectionMaps:
    """Positions of the assets of collections, for the map in the web app."""

    def __init__(self) -> None:
        self._maps: TtlCache[int, str] = TtlCache(_MAX_MAPS, max_total=_MAX_MAPS_IN_TOTAL)
        self._slots = FairSemaphore(2, max_waiting=_MAX_MAPS, what="a map")

    async def collection_map(self, name: str, ctx: Call) -> str:
        """Return JSON with little-endian uint16 arrays in base64.

        ``assets`` are ids of 12 characters without a separator, ``positions`` x and y of each, and
        ``clusters`` the number of its cluster, 0 without one.
        """
        deps = dependencies(ctx)
        # Each time, because the binding of the caller can change.
        async with deps.connection() as connection:
            collection = await collections.get(connection, name)

        async def load() -> tuple[str, float]:
            async with self._slots.hold(current_caller()):
                return await self._build(deps, name), _MAP_SECONDS

        return await self._maps.get(collection.id, load)

    async def _build(self, deps: Dependencies, name: str) -> str:
        # Imports numpy, which the handshake must not wait for.
        from sightline.storage.analytics.atlas_data import build_positions

        built = await build_positions(await deps.database.get(), name)
        return json.dumps(
            {
                "collection": built.collection,
                "encoder": built.encoder,
                "total": built.total,
                "assets": "".join(built.ids),
                "positions": base64.b64encode(built.points.astype("<u2").tobytes()).decode(),
                "clusters": base64.b64encode(built.clusters.astype("<u2").tobytes()).decode(),
            }
        )


async def _fetch_asset(deps: Dependencies, asset: str) -> Asset:
    async with deps.connection() as connection:
        return await assets.fetch_one(connection, asset)


async def _render(
    deps: Dependencies,
    record: Asset,
    overlays: Sequence[BoxOverlay],
    style: Style = "box",
    crop: Box | None = None,
) -> bytes:
    edge = deps.limits.max_view_edge_pixels
    rendered = await render_asset(
        deps, record, max_edge=edge, crop=crop, overlays=overlays, style=style
    )
    return rendered.data


def register(mcp: MCPServer) -> None:
    """Register all resources except the schema of ``query_sql``."""
    asset = "sightline://asset/{asset}"
    add_resource(mcp, asset_image, asset, "asset", "Image", "An asset's image as JPEG.")
    add_resource(
        mcp,
        asset_thumbnail,
        asset + "/thumbnail",
        "thumbnail",
        "Thumbnail",
        "An asset's thumbnail as JPEG.",
    )
    add_resource(
        mcp,
        annotated_image,
        asset + "/annotated/{annotation}",
        "annotated",
        "Annotated image",
        "An asset's image as JPEG with one saved annotation.",
    )
    add_resource(
        mcp,
        drawn_image,
        asset + "/drawn/{boxes}",
        "drawn",
        "Image with boxes",
        "An asset's image as JPEG with the boxes from annotate_image.",
    )
    add_resource(
        mcp,
        cropped_image,
        asset + "/crop/{x0,y0,x1,y1}",
        "crop",
        "Part of an image",
        "A part of an asset's image as JPEG, enlarged; coordinates from 0 to 1.",
    )
    add_resource(
        mcp,
        drawn_crop,
        asset + "/crop/{x0,y0,x1,y1}/drawn/{boxes}",
        "drawn_crop",
        "Part of an image with boxes",
        "A part of an asset's image as JPEG with the annotations from view_image.",
    )
    add_resource(
        mcp,
        collection_summary,
        "sightline://collection/{name}",
        "collection",
        "Collection",
        "A collection's content and the metadata keys that filter it.",
        "application/json",
    )
    add_resource(
        mcp,
        CollectionMaps().collection_map,
        "sightline://atlas/{name}",
        "atlas",
        "Map of a collection",
        "Positions of a collection's assets on a map, as compact JSON for the web app.",
        "application/json",
    )


def add_resource(
    mcp: MCPServer,
    function: Callable[..., Awaitable[str | bytes]],
    uri: str,
    name: str,
    title: str,
    description: str,
    mime_type: str = "image/jpeg",
) -> None:
    """Add a resource. Its Sightline errors become the SDK's errors."""

    @mcp.resource(uri, name=name, title=title, description=description, mime_type=mime_type)
    @wraps(function)
    async def read(*args: Any, **kwargs: Any) -> str | bytes:
        try:
            return await function(*args, **kwargs)
        except SightlineError as error:
            raise to_resource_error(error) from error
