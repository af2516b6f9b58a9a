"""``save_annotation``: keep a box with its label on an asset."""

from __future__ import annotations

from typing import Annotated

from mcp.server.mcpserver import MCPServer
from mcp.types import CallToolResult, ToolAnnotations
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import annotations as saved_annotations
from sightline.storage.records import assets
from sightline.storage.records.annotations import NewAnnotation, Origin
from sightline.tools.annotate_image import LABEL_CHARS, MOST_BOXES, LabelledBox
from sightline.tools.shared import images
from sightline.tools.shared.argument_types import AssetId, OptionalText
from sightline.tools.shared.dependencies import Dependencies
from sightline.tools.shared.tool_context import Call, dependencies, principal
from sightline.tools.shared.tool_results import Result, as_tool_result

DESCRIPTION = """\
Keep boxes with their labels on an asset, so that view_image with annotated=true shows them and
analysts can query them. Say honestly whether a person or a model drew them."""


class SavedAnnotations(Result):
    """What was kept."""

    asset: str
    annotations: Annotated[list[int], Field(description="Their ids, in the order given.")]
    uris: Annotated[list[str], Field(description="The asset with one annotation drawn on it.")]


async def save_annotation(
    deps: Dependencies, asset: str, new: list[NewAnnotation]
) -> SavedAnnotations:
    """Keep all of them or, where something is wrong, none."""
    database = await deps.database.get()
    async with database.connection() as conn:
        record = await assets.fetch_one(conn, asset)
        ids = await saved_annotations.save(conn, record.id, new)
    return SavedAnnotations(
        asset=record.id,
        annotations=ids,
        uris=[f"sightline://asset/{record.id}/annotated/{each}" for each in ids],
    )


def register(mcp: MCPServer) -> None:
    """Offer the tool."""

    @mcp.tool(
        name="save_annotation",
        title="Save annotation",
        description=DESCRIPTION,
        annotations=ToolAnnotations(
            read_only_hint=False,
            destructive_hint=False,
            idempotent_hint=False,
            open_world_hint=False,
        ),
    )
    async def tool(
        ctx: Call,
        asset: AssetId,
        boxes: Annotated[
            list[LabelledBox],
            Field(min_length=1, max_length=MOST_BOXES, description="Boxes, each with a label."),
        ],
        origin: Annotated[Origin, Field(description="Who drew them: 'person' or 'model'.")],
        model: Annotated[
            OptionalText, Field(max_length=LABEL_CHARS, description="The model's name, if one did.")
        ] = "",
        score: Annotated[
            float | None, Field(ge=0, le=1, description="How sure the model was, 0 to 1.")
        ] = None,
        note: Annotated[
            OptionalText, Field(max_length=2_000, description="Why, or what to check.")
        ] = "",
    ) -> Annotated[CallToolResult, SavedAnnotations]:
        if origin == "model" and not model:
            raise InvalidArgumentError("origin is 'model'; name the model in `model`")
        for each in boxes:
            if not each.label.strip():
                raise InvalidArgumentError("every box needs a label; one has none")
        new = [
            NewAnnotation(
                label=each.label.strip(),
                box=images.parse_crop(each.box),
                origin=origin,
                score=score,
                model=model or None,
                author=principal(),
                note=note or None,
            )
            for each in boxes
        ]
        return as_tool_result(await save_annotation(dependencies(ctx), asset, new))
