"""``annotate_image``: draw given boxes, or locate phrases and draw their boxes."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import assets, ocr_lines
from sightline.tools.boxes.geometry import to_pixels
from sightline.tools.shared import images
from sightline.tools.shared.argument_types import MAX_BOXES, AssetId, LabeledBox
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies
from sightline.tools.shared.drawing import BoxOverlay, Style, draw_resized, overlay_uri
from sightline.tools.shared.references import AssetReference, asset_reference
from sightline.tools.shared.tool_results import NormalizedBox, ToolModel, to_tool_result
from sightline.tools.vlm.phrase_grounding import (
    locate_phrases,
    locate_text,
    quoted_text,
    require_vlm,
)

DESCRIPTION = """\
Mark objects on an image. Give `boxes` with labels to draw them, or `phrases`: the vision-language
model locates an object, such as `the white van`; words in quotation marks, such as `"Total 30.90"`,
are located in the OCR text without a model. Returns coordinates (0 to 1 and pixels) and the image
with the boxes, also at `uri`. A phrase that is not found is reported, not guessed. Nothing is
stored: use save_annotation for that."""

MAX_PHRASES = 8
_MAX_EDGE_PIXELS = 1024


class DrawnBox(ToolModel):
    """A box on the image."""

    label: str
    box: NormalizedBox
    pixels: Annotated[list[int], Field(description="The box in pixels of the whole image.")]
    origin: Annotated[str, Field(description="'given', 'model' (located) or 'text' (OCR).")]


class PhraseOutcome(ToolModel):
    """The outcome for a phrase."""

    phrase: str
    status: Annotated[
        str,
        Field(description="found, repaired, absent (the model says so), unreadable, unsupported."),
    ]
    notes: list[str] | None = None


class AnnotatedImage(ToolModel):
    """The image with its boxes."""

    asset: AssetReference
    boxes: list[DrawnBox]
    phrases: list[PhraseOutcome] | None = None
    model: Annotated[str | None, Field(description="The model that located phrases.")] = None
    shown_size: Annotated[
        list[int] | None, Field(description="Width and height of the returned image.")
    ] = None
    uri: Annotated[str | None, Field(description="Resource with the boxes drawn.")] = None


async def annotate_image(
    deps: Dependencies,
    asset: str,
    boxes: list[LabeledBox],
    phrases: list[str],
    *,
    style: Style = "box",
    inline: bool = True,
) -> tuple[AnnotatedImage, list[images.EncodedImage]]:
    """Draw given boxes and located phrases; return the image if ``inline``."""
    phrases = [flat for phrase in phrases if (flat := " ".join(phrase.split()))]
    if not boxes and not phrases:
        raise InvalidArgumentError("Nothing to draw. Give boxes, phrases, or both.")
    given = [BoxOverlay(images.parse_box(each.box), each.label) for each in boxes]
    async with deps.connection() as connection:
        record = await assets.fetch_one(connection, asset)
        lines = await ocr_lines.asset_text_lines(connection, [record.id])
    image = await images.load_image(deps, record)
    locations = [
        locate_text(words, lines.get(record.id, ()), image.size)
        for phrase in phrases
        if (words := quoted_text(phrase))
    ]
    objects = [phrase for phrase in phrases if not quoted_text(phrase)]
    model_name = None
    if objects:
        model = require_vlm(deps)
        model_name = model.model
        locations += await locate_phrases(model, image, objects)
    overlays = [(each, "given") for each in given]
    overlays += [
        (BoxOverlay(box.box, box.label or location.phrase), location.origin)
        for location in locations
        for box in location.boxes
        if not box.is_point
    ]
    drawn = [each for each, _ in overlays]

    def render() -> images.EncodedImage:
        return draw_resized(
            image,
            drawn,
            style=style,
            max_edge=_MAX_EDGE_PIXELS,
            max_bytes=deps.limits.max_inline_bytes,
        )

    encoded = []
    if inline:
        encoded = [await anyio.to_thread.run_sync(render, limiter=deps.image_threads)]
    result = AnnotatedImage(
        asset=asset_reference(record, detailed=False),
        boxes=[
            DrawnBox(
                label=overlay.label,
                box=list(overlay.box),
                pixels=list(to_pixels(overlay.box, (record.width, record.height))),
                origin=origin,
            )
            for overlay, origin in overlays
        ],
        phrases=[
            PhraseOutcome(phrase=each.phrase, status=each.status, notes=list(each.notes) or None)
            for each in locations
        ]
        or None,
        model=model_name,
        shown_size=[encoded[0].width, encoded[0].height] if encoded else None,
        uri=overlay_uri(record.id, drawn, style),
    )
    return result, encoded


def register(mcp: MCPServer) -> None:
    """Register the tool."""

    @mcp.tool(
        name="annotate_image",
        title="Annotate image",
        description=DESCRIPTION,
        annotations=ToolAnnotations(read_only_hint=True, open_world_hint=False),
    )
    async def tool(
        ctx: Call,
        asset: AssetId,
        boxes: Annotated[
            list[LabeledBox] | None,
            Field(max_length=MAX_BOXES, description="Boxes to draw, with labels."),
        ] = None,
        phrases: Annotated[
            list[Annotated[str, Field(min_length=1, max_length=200)]] | None,
            Field(
                max_length=MAX_PHRASES,
                description="Objects to locate; written words in quotation marks.",
            ),
        ] = None,
        style: Annotated[Style, Field(description="How a box is drawn.")] = "box",
        inline: Annotated[bool, Field(description="Return the image, not only its URI.")] = True,
    ) -> Annotated[CallToolResult, AnnotatedImage]:
        result, encoded = await annotate_image(
            dependencies(ctx), asset, boxes or [], phrases or [], style=style, inline=inline
        )
        return to_tool_result(result, encoded)
