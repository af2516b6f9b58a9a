"""``annotate_image``: draw given boxes, or find what phrases name and draw that."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import assets, ocr_lines
from sightline.tools.boxes.geometry import in_pixels
from sightline.tools.shared import annotation_uri, images
from sightline.tools.shared.argument_types import AssetId, Box
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.drawing import Marked, Style, draw
from sightline.tools.shared.references import AssetReference, refer
from sightline.tools.shared.tool_context import Call, dependencies
from sightline.tools.shared.tool_results import NormalisedBox, Result, as_tool_result
from sightline.tools.view_image import load_picture
from sightline.tools.vlm.phrase_grounding import locate, locate_words, quoted, vision_model

DESCRIPTION = """\
Mark where things are on a picture. Give `boxes` with labels to draw them, or `phrases`: a thing,
such as `the white van`, is looked for by the vision-language model; words in quotation marks, such
as `"Total 30.90"`, in the text that was read on the picture, without a model. Returns the
coordinates (0 to 1 and pixels) and the picture with the boxes on it, which can be read again at
`uri`. A phrase that is not found is reported, not guessed. Nothing is stored: use save_annotation
for that."""

MOST_BOXES = 50
MOST_PHRASES = 8
LABEL_CHARS = 120


class LabelledBox(BaseModel):
    """A box to draw."""

    model_config = ConfigDict(extra="forbid")

    box: Box
    label: Annotated[str, Field(max_length=LABEL_CHARS)] = ""


class DrawnBox(BaseModel):
    """A box on the picture."""

    model_config = ConfigDict(extra="forbid")

    label: str
    box: NormalisedBox
    pixels: Annotated[list[int], Field(description="The same in pixels of the whole picture.")]
    origin: Annotated[
        str,
        Field(description="'given', 'model' for one it found, 'text' for words that were read."),
    ]


class PhraseOutcome(BaseModel):
    """What became of a phrase."""

    model_config = ConfigDict(extra="forbid")

    phrase: str
    status: Annotated[
        str,
        Field(description="found, repaired, absent (the model says so), unreadable, unsupported."),
    ]
    notes: list[str] | None = None


class AnnotatedImage(Result):
    """What was drawn on which picture."""

    asset: AssetReference
    boxes: list[DrawnBox]
    phrases: list[PhraseOutcome] | None = None
    model: Annotated[str | None, Field(description="The model that was asked.")] = None
    shown_size: Annotated[
        list[int] | None, Field(description="Width and height of the returned picture.")
    ] = None
    uri: Annotated[str | None, Field(description="The picture with the boxes on it.")] = None


async def annotate_image(
    deps: Dependencies,
    asset: str,
    boxes: list[LabelledBox],
    phrases: list[str],
    *,
    style: Style = "box",
    inline: bool = True,
    max_edge: int = 1024,
) -> tuple[AnnotatedImage, list[images.EncodedPicture]]:
    """Draw ``boxes`` and whatever ``phrases`` name; raises where there is neither.

    The picture comes with it where it is wanted ``inline``, and can be read at its address anyway.
    """
    wanted = [flat for phrase in phrases if (flat := " ".join(phrase.split()))]
    if not boxes and not wanted:
        raise InvalidArgumentError("nothing to draw: give boxes, phrases, or both")
    given = [Marked(images.parse_crop(each.box), each.label) for each in boxes]
    database = await deps.database.get()
    async with database.connection() as conn:
        record = await assets.fetch_one(conn, asset)
        read = await ocr_lines.lines_on(conn, [record.id])
    image = await load_picture(deps, record)
    located = [
        locate_words(words, read.get(record.id, ()), image.size)
        for phrase in wanted
        if (words := quoted(phrase))
    ]
    named = [phrase for phrase in wanted if not quoted(phrase)]
    model_name = None
    if named:
        model = vision_model(deps)
        model_name = model.model
        located += await locate(model, image, named)
    places = [(mark, each) for each in located for mark in each.marks if not mark.is_point]
    found = [Marked(mark.box, mark.label or each.phrase) for mark, each in places]

    def render() -> images.EncodedPicture:
        # Drawn at the size at which it is shown, so that lines and letters stay clear.
        shown = image.copy()
        shown.thumbnail((max_edge, max_edge))
        marked = draw(shown, given + found, style=style)
        return images.encode(marked, max_edge=max_edge, max_bytes=deps.limits.inline_bytes)

    drawn = []
    if inline:
        drawn = [await anyio.to_thread.run_sync(render, limiter=deps.picture_threads)]
    origins = ["given"] * len(given) + [each.by for _, each in places]
    result = AnnotatedImage(
        asset=refer(record, detailed=False),
        boxes=[
            DrawnBox(
                label=mark.label,
                box=list(mark.box),
                pixels=list(in_pixels(mark.box, (record.width, record.height))),
                origin=origin,
            )
            for mark, origin in zip(given + found, origins, strict=True)
        ],
        phrases=[
            PhraseOutcome(phrase=each.phrase, status=each.status, notes=list(each.notes) or None)
            for each in located
        ]
        or None,
        model=model_name,
        shown_size=[drawn[0].width, drawn[0].height] if drawn else None,
        uri=annotation_uri.address(record.id, given + found, style),
    )
    return result, drawn


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

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
            list[LabelledBox] | None,
            Field(max_length=MOST_BOXES, description="Boxes to draw, each with a label."),
        ] = None,
        phrases: Annotated[
            list[Annotated[str, Field(min_length=1, max_length=200)]] | None,
            Field(
                max_length=MOST_PHRASES,
                description="What to look for, a phrase each; written words in quotation marks.",
            ),
        ] = None,
        style: Annotated[Style, Field(description="How a box is drawn.")] = "box",
        inline: Annotated[
            bool, Field(description="Return the picture too, not its address alone.")
        ] = True,
    ) -> Annotated[CallToolResult, AnnotatedImage]:
        result, drawn = await annotate_image(
            dependencies(ctx), asset, boxes or [], phrases or [], style=style, inline=inline
        )
        return as_tool_result(result, drawn)
