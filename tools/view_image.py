"""``view_image``: show one image, whole or cropped."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import annotations as annotation_records
from sightline.storage.records import assets
from sightline.tools.shared import images
from sightline.tools.shared.argument_types import AssetId, BoxCorners
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies
from sightline.tools.shared.drawing import BoxOverlay, draw
from sightline.tools.shared.references import (
    AnnotationReference,
    AssetReference,
    asset_reference,
)
from sightline.tools.shared.tool_results import NormalizedBox, ToolModel, as_list, to_tool_result

DESCRIPTION = """\
Look at one image, document page or video frame, by the asset id of a search result. Use it before
you claim what an image shows, and with `crop` to read small print or check a detail (a hit's `box`
is a good crop). Returns the image and its metadata."""

MIN_EDGE_PIXELS = 64


class ViewedImage(ToolModel):
    """The image that was shown."""

    asset: AssetReference
    crop: NormalizedBox | None = None
    annotations: Annotated[
        list[AnnotationReference] | None, Field(description="Drawn boxes, if requested.")
    ] = None
    shown_size: Annotated[list[int], Field(description="Width and height of the returned image.")]


async def view_image(
    deps: Dependencies,
    asset: str,
    crop: list[float] | None,
    max_edge: int,
    *,
    annotated: bool = False,
) -> tuple[ViewedImage, images.EncodedImage]:
    """Return the image or a crop, with its longer edge at most ``max_edge`` pixels."""
    limit = deps.limits.max_view_edge_pixels
    if not MIN_EDGE_PIXELS <= max_edge <= limit:
        raise InvalidArgumentError(
            f"max_edge {max_edge} is out of range. Use {MIN_EDGE_PIXELS} to {limit} pixels."
        )
    box = None if crop is None else images.parse_box(crop)
    async with deps.connection() as connection:
        record = await assets.fetch_one(connection, asset)
        by_asset = (
            await annotation_records.list_by_asset(connection, [record.id]) if annotated else {}
        )
    saved = by_asset.get(record.id, [])
    image = await images.load_image(deps, record)

    def render() -> images.EncodedImage:
        whole = draw(image, [BoxOverlay(each.box, each.label) for each in saved])
        part = whole if box is None else images.crop(whole, box)
        return images.encode(part, max_edge=max_edge, max_bytes=deps.limits.max_inline_bytes)

    encoded = await anyio.to_thread.run_sync(render, limiter=deps.image_threads)
    listed = [AnnotationReference.model_validate(each) for each in saved]
    result = ViewedImage(
        asset=asset_reference(record, detailed=True),
        crop=as_list(box),
        annotations=listed if annotated else None,
        shown_size=[encoded.width, encoded.height],
    )
    return result, encoded


def register(mcp: MCPServer) -> None:
    """Register the tool."""

    @mcp.tool(
        name="view_image",
        title="View image",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(
        ctx: Call,
        asset: AssetId,
        crop: Annotated[
            BoxCorners | None, Field(description="Show only this part, enlarged.")
        ] = None,
        max_edge: Annotated[
            int, Field(description="Longer edge of the returned image in pixels, 64 to 1568.")
        ] = 1024,
        annotated: Annotated[bool, Field(description="Draw and list saved annotations.")] = False,
    ) -> Annotated[CallToolResult, ViewedImage]:
        result, image = await view_image(
            dependencies(ctx), asset, crop, max_edge, annotated=annotated
        )
        return to_tool_result(result, [image])
