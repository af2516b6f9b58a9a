"""``view_image``: one picture, large enough to read, whole or cropped."""

from __future__ import annotations

from functools import partial
from typing import Annotated

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from PIL import Image
from pydantic import BaseModel, ConfigDict, Field

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import annotations as saved_annotations
from sightline.storage.records import assets
from sightline.storage.records.annotations import Annotation
from sightline.storage.records.assets import Asset
from sightline.tools.shared import images
from sightline.tools.shared.argument_types import AssetId, Box
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.drawing import Marked, draw
from sightline.tools.shared.references import AssetReference, refer
from sightline.tools.shared.tool_context import Call, dependencies
from sightline.tools.shared.tool_results import NormalisedBox, Result, Score, as_tool_result

DESCRIPTION = """\
Look at one picture: an image, a document page or a video frame, by the asset id of a search result.
Use it before you claim what a picture shows, and with `crop` to read small print or check a detail
(a hit's `box` is a good crop). The picture comes back as an image beside its facts."""

MIN_EDGE_PIXELS = 64


class StoredAnnotation(BaseModel):
    """A box that somebody has saved on the asset."""

    model_config = ConfigDict(extra="forbid")

    id: int
    label: str
    box: NormalisedBox
    score: Score | None = None
    origin: str
    model: str | None = None
    author: str | None = None
    note: str | None = None


class ViewedImage(Result):
    """What was shown."""

    asset: AssetReference
    crop: NormalisedBox | None = None
    annotations: Annotated[
        list[StoredAnnotation] | None, Field(description="What is drawn on it, if asked for.")
    ] = None
    shown_size: Annotated[list[int], Field(description="Width and height of the returned picture.")]


async def load_picture(deps: Dependencies, asset: Asset) -> Image.Image:
    """The asset's picture, upright, checked against the bytes that were ingested.

    Raises MediaError where the file has changed or gone since.
    """
    async with deps.picture_threads:
        read = partial(deps.objects.read, asset.location, asset.sha256, name=asset.source)
        data = await anyio.to_thread.run_sync(read)
        return await images.open_hostile(deps.decoder, data)


async def view_image(
    deps: Dependencies,
    asset: str,
    crop: list[float] | None,
    max_edge: int,
    *,
    annotated: bool = False,
) -> tuple[ViewedImage, images.EncodedPicture]:
    """The picture of ``asset`` with its longer edge at most ``max_edge`` pixels."""
    most = deps.limits.view_edge_pixels
    if not MIN_EDGE_PIXELS <= max_edge <= most:
        raise InvalidArgumentError(
            f"max_edge {max_edge} is out of range; it takes {MIN_EDGE_PIXELS} to {most} pixels"
        )
    box = None if crop is None else images.parse_crop(crop)
    database = await deps.database.get()
    async with database.connection() as conn:
        record = await assets.fetch_one(conn, asset)
        saved = (await saved_annotations.of_assets(conn, [record.id])).get(record.id, [])
    image = await load_picture(deps, record)

    def render() -> images.EncodedPicture:
        marks = [Marked(each.box, each.label) for each in saved] if annotated else []
        whole = draw(image, marks)
        part = whole if box is None else images.crop(whole, box)
        return images.encode(part, max_edge=max_edge, max_bytes=deps.limits.inline_bytes)

    encoded = await anyio.to_thread.run_sync(render, limiter=deps.picture_threads)
    result = ViewedImage(
        asset=refer(record, detailed=True),
        crop=None if box is None else list(box),
        annotations=[stored(each) for each in saved] if annotated else None,
        shown_size=[encoded.width, encoded.height],
    )
    return result, encoded


def stored(annotation: Annotation) -> StoredAnnotation:
    """A saved annotation as it is reported."""
    return StoredAnnotation(
        id=annotation.id,
        label=annotation.label,
        box=list(annotation.box),
        score=annotation.score,
        origin=annotation.origin,
        model=annotation.model,
        author=annotation.author,
        note=annotation.note,
    )


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

    @mcp.tool(
        name="view_image",
        title="View image",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(
        ctx: Call,
        asset: AssetId,
        crop: Annotated[Box | None, Field(description="Show only this part, enlarged.")] = None,
        max_edge: Annotated[
            int, Field(description="Longer edge of the returned picture in pixels, 64 to 1568.")
        ] = 1024,
        annotated: Annotated[
            bool, Field(description="Draw the saved annotations on it, and list them.")
        ] = False,
    ) -> Annotated[CallToolResult, ViewedImage]:
        result, picture = await view_image(
            dependencies(ctx), asset, crop, max_edge, annotated=annotated
        )
        return as_tool_result(result, [picture])
