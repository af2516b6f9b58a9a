"""``annotate_image``: draw given boxes, or locate phrases and draw their boxes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError, ModelError, ModelUnavailableError
from sightline.storage.ingest.decode.render.overlays import BoxOverlay, Style
from sightline.storage.isolation.caller import message_for_caller
from sightline.storage.records import assets
from sightline.storage.records.assets import Asset, AssetTextLine
from sightline.tools.boxes.geometry import to_pixels
from sightline.tools.boxes.letterbox import source_edge
from sightline.tools.shared import images
from sightline.tools.shared.argument_types import (
    MAX_BOXES,
    MAX_LABEL_CHARS,
    AssetId,
    Inline,
    LabeledBox,
)
from sightline.tools.shared.dependencies import Call, Dependencies, dependencies
from sightline.tools.shared.image_delivery import image_url, inline_by_default
from sightline.tools.shared.image_loading import (
    image_memory,
    load_asset,
    load_text_lines,
    render_asset,
)
from sightline.tools.shared.overlay_uri import overlay_code, overlay_uri
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
    detect_phrases,
    locate_phrases,
    locate_text,
    quoted_text,
)

DESCRIPTION = """\
Mark objects on an image: draw `boxes`, or locate `phrases`, objects ("the white van") by a model,
and words in quotation marks ('"Total 30.90"') in its text. Returns coordinates and the image.
Nothing is stored: see save_annotation."""

MAX_PHRASES = 8
_WITHOUT_MODEL = (
    f"The detector is off: set SIGHTLINE_DETECTOR__MODEL. {NO_VLM} "
    "Without a model, put words that are written on the image in quotation marks, or give boxes."
)
_MAX_EDGE_PIXELS = 1024
_DETECTOR_EDGE_PIXELS = 1280


class DrawnBox(ToolModel):
    """A box on the image."""

    label: str
    box: NormalizedBox
    pixels: Sequence[int] = Field(description="The box in pixels of the whole image.")
    origin: str = Field(
        description="'given', 'model' (vision-language model), 'detector' or 'text' (OCR)."
    )
    model: str | None = Field(default=None, description="The model that found it.")
    score: float | None = Field(
        default=None, description="Of a detector: how sure it is that the box is right, 0 to 1."
    )


class PhraseOutcome(ToolModel):
    """The outcome for a phrase."""

    phrase: str
    status: str = Field(
        description="found, repaired, absent (the model says so), unreadable, unsupported, "
        "no_model (it needs one)."
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
    image_url: str | None = Field(default=None, description="The same over HTTP.")


RESULT = AnnotatedImage


async def _locate_objects(
    deps: Dependencies, record: Asset, phrases: Sequence[str]
) -> list[PhraseLocation]:
    """Ask the vision-language model if it draws boxes, else the detector."""
    if deps.vlm is not None and (deps.vlm.profile.box_format or deps.detector is None):
        edge = source_edge(deps.vlm.profile.fit)
        async with image_memory(deps, edge):
            image = await load_asset(deps, record, max_edge=edge)
            return await locate_phrases(deps.vlm, image, phrases)
    if deps.detector is None:
        raise ModelUnavailableError(_WITHOUT_MODEL)
    detector = await deps.detector.get()
    async with image_memory(deps, _DETECTOR_EDGE_PIXELS):
        image = await load_asset(deps, record, max_edge=_DETECTOR_EDGE_PIXELS)
        return await detect_phrases(detector, image, phrases, (record.width, record.height))


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
    inline: Inline = None,
) -> CallToolResult:
    deps = dependencies(ctx)
    texts = [flat for phrase in phrases or () if (flat := " ".join(phrase.split()))]
    if not boxes and not texts:
        raise InvalidArgumentError("Nothing to draw. Give boxes, phrases, or both.")
    drawn = [BoxOverlay(images.parse_box(each.box), each.label) for each in boxes or ()]
    sources: list[tuple[str, str | None, float | None]] = [("given", None, None)] * len(drawn)
    async with deps.connection() as connection:
        record = await assets.fetch_one(connection, asset)
        stored = await assets.text_lines(connection, [record.id])
    quoted = [words for phrase in texts if (words := quoted_text(phrase))]
    lines: Sequence[AssetTextLine] = ()
    if quoted:
        lines = await load_text_lines(deps, record, stored.get(record.id, ()))
    locations = [locate_text(words, lines, (record.width, record.height)) for words in quoted]
    objects = [phrase for phrase in texts if not quoted_text(phrase)]
    lost: list[PhraseOutcome] = []
    if objects:
        try:
            locations += await _locate_objects(deps, record, objects)
        except ModelError as error:
            if not drawn and not quoted:
                raise
            notes = [message_for_caller(error)]
            lost.append(PhraseOutcome(phrase=", ".join(objects), status="no_model", notes=notes))
    for location in locations:
        scores = location.scores or (None,) * len(location.boxes)
        for found, score in zip(location.boxes, scores, strict=True):
            if not found.is_point:
                label = (found.label or location.phrase)[:MAX_LABEL_CHARS]
                drawn.append(BoxOverlay(found.box, label))
                sources.append((location.origin, location.model, score))
    encoded = []
    if inline_by_default(deps) if inline is None else inline:
        encoded = [
            await render_asset(deps, record, max_edge=_MAX_EDGE_PIXELS, overlays=drawn, style=style)
        ]
    code = overlay_code(drawn, style)
    result = AnnotatedImage(
        asset=asset_reference(record, detailed=False),
        boxes=[
            DrawnBox(
                label=overlay.label,
                box=overlay.box,
                pixels=to_pixels(overlay.box, (record.width, record.height)),
                origin=origin,
                model=model,
                score=None if score is None else round(score, 3),
            )
            for overlay, (origin, model, score) in zip(drawn, sources, strict=True)
        ],
        phrases=[
            PhraseOutcome(phrase=each.phrase, status=each.status, notes=list(each.notes) or None)
            for each in locations
        ]
        + lost
        or None,
        model=next((each.model for each in locations if each.model), None),
        shown_size=[encoded[0].width, encoded[0].height] if encoded else None,
        uri=None if code is None else overlay_uri(record.id, code),
        image_url=None if code is None else image_url(record.id, boxes=code),
    )
    return to_tool_result(result, encoded)
