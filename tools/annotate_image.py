"""``annotate_image``: draw given boxes, or locate phrases and draw their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError, ModelUnavailableError
from sightline.storage.ingest.decode.render.drawing import BoxOverlay, Style
from sightline.storage.records import assets
from sightline.storage.records.assets import Asset
from sightline.tools.boxes.geometry import to_pixels
from sightline.tools.boxes.letterbox import source_edge
from sightline.tools.shared import images
from sightline.tools.shared.argument_types import (
    MAX_BOXES,
    MAX_LABEL_CHARS,
    AssetId,
    LabeledBox,
)
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies
from sightline.tools.shared.image_loading import image_memory, load_asset, render_asset
from sightline.tools.shared.overlay_uri import overlay_uri
from sightline.tools.shared.tool_results import (
    AssetReference,
    NormalizedBox,
    ToolModel,
    ToolResult,
    asset_reference,
    to_tool_result,
)
from sightline.tools.vlm.phrase_grounding import (
    NO_VLM,
    PhraseLocation,
    locate_phrases,
    locate_text,
    quoted_text,
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
    pixels: Sequence[int] = Field(description="The box in pixels of the whole image.")
    origin: str = Field(description="'given', 'model' (located) or 'text' (OCR).")


class PhraseOutcome(ToolModel):
    """The outcome for a phrase."""

    phrase: str
    status: str = Field(
        description="found, repaired, absent (the model says so), unreadable, unsupported."
    )
    notes: list[str] | None = None


class AnnotatedImage(ToolResult):
    """The image with its boxes."""

    asset: AssetReference
    boxes: list[DrawnBox]
    phrases: list[PhraseOutcome] | None = None
    model: str | None = Field(default=None, description="The model that located phrases.")
    shown_size: list[int] | None = Field(
        default=None, description="Width and height of the returned image."
    )
    uri: str | None = Field(default=None, description="Resource with the boxes drawn.")


async def _locate_objects(
    deps: Dependencies, record: Asset, phrases: Sequence[str]
) -> list[PhraseLocation]:
    if deps.vlm is None:
        raise ModelUnavailableError(NO_VLM)
    edge = source_edge(deps.vlm.profile.fit)
    async with image_memory(deps, edge):
        image = await load_asset(deps, record, max_edge=edge)
        return await locate_phrases(deps.vlm, image, phrases)


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
    deps = dependencies(ctx)
    texts = [flat for phrase in phrases or () if (flat := " ".join(phrase.split()))]
    if not boxes and not texts:
        raise InvalidArgumentError("Nothing to draw. Give boxes, phrases, or both.")
    drawn = [BoxOverlay(images.parse_box(each.box), each.label) for each in boxes or ()]
    origins = ["given"] * len(drawn)
    async with deps.connection() as connection:
        record = await assets.fetch_one(connection, asset)
        lines = await assets.text_lines(connection, [record.id])
    locations = [
        locate_text(words, lines.get(record.id, ()), (record.width, record.height))
        for phrase in texts
        if (words := quoted_text(phrase))
    ]
    objects = [phrase for phrase in texts if not quoted_text(phrase)]
    if objects:
        locations += await _locate_objects(deps, record, objects)
    for location in locations:
        for found in location.boxes:
            if not found.is_point:
                label = (found.label or location.phrase)[:MAX_LABEL_CHARS]
                drawn.append(BoxOverlay(found.box, label))
                origins.append(location.origin)
    encoded = []
    if inline:
        encoded = [
            await render_asset(deps, record, max_edge=_MAX_EDGE_PIXELS, overlays=drawn, style=style)
        ]
    result = AnnotatedImage(
        asset=asset_reference(record, detailed=False),
        boxes=[
            DrawnBox(
                label=overlay.label,
                box=overlay.box,
                pixels=to_pixels(overlay.box, (record.width, record.height)),
                origin=origin,
            )
            for overlay, origin in zip(drawn, origins, strict=True)
        ],
        phrases=[
            PhraseOutcome(phrase=each.phrase, status=each.status, notes=list(each.notes) or None)
            for each in locations
        ]
        or None,
        model=deps.vlm.model if objects and deps.vlm else None,
        shown_size=[encoded[0].width, encoded[0].height] if encoded else None,
        uri=overlay_uri(record.id, drawn, style),
    )
    return to_tool_result(result, encoded)
