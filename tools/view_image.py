"""``view_image``: show one image, whole or cropped."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.ingest.decode.render.overlays import BoxOverlay
from sightline.storage.ingest.decode.render.view_geometry import widen_crop
from sightline.storage.records import annotations as annotation_records
from sightline.storage.records import assets
from sightline.storage.records.annotations import Annotation, NewestAnnotations
from sightline.storage.types import Box
from sightline.tools.shared import images
from sightline.tools.shared.argument_types import AssetId, BoxCorners, Inline
from sightline.tools.shared.dependencies import Call, dependencies, principal
from sightline.tools.shared.image_delivery import image_url, inline_by_default
from sightline.tools.shared.image_loading import render_asset
from sightline.tools.shared.overlay_uri import overlay_code
from sightline.tools.shared.tool_results import (
    ASSET_URI,
    AnnotationReference,
    AssetReference,
    NormalizedBox,
    ToolResult,
    annotation_references,
    asset_reference,
    to_tool_result,
)

DESCRIPTION = """\
Look at one image, document page or video frame before you claim what it shows. `crop` enlarges a
part, such as the `box` of a hit, to read small print or check a detail."""

MIN_EDGE_PIXELS = 64
#: More boxes hide the image, and each takes time to draw.
MAX_DRAWN = 100


class ViewedAnnotation(AnnotationReference):
    """A saved box, with its time and whether the caller may delete it."""

    created_at: str = Field(description="When it was saved, ISO 8601.")
    mine: bool | None = Field(default=None, description="True: you saved it.")


class ViewedImage(ToolResult):
    """The image that was shown."""

    asset: AssetReference
    crop: NormalizedBox | None = Field(
        default=None, description="The part that is shown: the given box with a margin."
    )
    annotations: list[ViewedAnnotation] | None = Field(
        default=None, description="Drawn boxes, the newest 100."
    )
    annotations_not_drawn: int | None = Field(default=None, description="Number of older boxes.")
    shown_size: list[int] | None = Field(
        default=None, description="Width and height of the returned image."
    )
    uri: str | None = Field(default=None, description="Resource with what is shown.")
    image_url: str | None = Field(default=None, description="The same over HTTP.")


RESULT = ViewedImage


async def tool(
    ctx: Call,
    asset: AssetId,
    crop: Annotated[BoxCorners | None, Field(description="Show only this part, enlarged.")] = None,
    max_edge: Annotated[
        int, Field(description="Longer edge in pixels, 64 to 1568, default 1024.")
    ] = 1024,
    annotated: Annotated[bool, Field(description="Draw and list saved annotations.")] = False,
    inline: Inline = None,
) -> CallToolResult:
    deps = dependencies(ctx)
    limits = deps.limits
    if not MIN_EDGE_PIXELS <= max_edge <= limits.max_view_edge_pixels:
        raise InvalidArgumentError(
            f"max_edge {max_edge} is out of range. "
            f"Use {MIN_EDGE_PIXELS} to {limits.max_view_edge_pixels} pixels."
        )
    box = None if crop is None else images.parse_box(crop)
    saved = NewestAnnotations()
    async with deps.connection() as connection:
        record = await assets.fetch_one(connection, asset)
        if annotated:
            found = await annotation_records.list_newest(connection, [record.id], MAX_DRAWN)
            saved = found.get(record.id, saved)
    overlays = [BoxOverlay(each.box, each.label) for each in saved.newest]
    if box is not None:
        box = widen_crop(box, (record.width, record.height))
    encoded = []
    if inline_by_default(deps) if inline is None else inline:
        encoded = [await render_asset(deps, record, max_edge=max_edge, crop=box, overlays=overlays)]
    result = ViewedImage(
        asset=asset_reference(record, detailed=True),
        crop=box,
        annotations=_describe(saved.newest) if annotated else None,
        annotations_not_drawn=saved.total - len(saved.newest) or None,
        shown_size=[encoded[0].width, encoded[0].height] if encoded else None,
        # The URI of drawn boxes is long, and the image is here.
        uri=None if encoded and overlays else _view_uri(record.id, box, overlays),
        image_url=image_url(record.id, crop=box, annotated=annotated),
        notes=[each.note for each in encoded if each.note] or None,
    )
    return to_tool_result(result, encoded)


def _describe(saved: Sequence[Annotation]) -> list[ViewedAnnotation]:
    caller = principal()
    return [
        ViewedAnnotation(
            **reference.model_dump(),
            created_at=each.created_at.isoformat(timespec="seconds"),
            mine=(each.origin == "person" and each.author == caller) or None,
        )
        for reference, each in zip(annotation_references(saved), saved, strict=True)
    ]


def _view_uri(asset: str, crop: Box | None, overlays: Sequence[BoxOverlay]) -> str | None:
    """Return the URI of what is shown, None for too many boxes."""
    uri = f"{ASSET_URI}{asset}"
    if crop is not None:
        uri += f"/crop/{images.format_corners(crop)}"
    if not overlays:
        return uri
    code = overlay_code(overlays, "box")
    return None if code is None else f"{uri}/drawn/{code}"
