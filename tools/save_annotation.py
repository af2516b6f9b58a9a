"""``save_annotation``: save labeled boxes on an asset."""

from __future__ import annotations

from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field

from sightline.storage.errors import InvalidArgumentError
from sightline.storage.records import annotations as annotation_records
from sightline.storage.records import assets
from sightline.storage.records.annotations import NewAnnotation
from sightline.tools.shared.argument_types import (
    MAX_BOXES,
    MAX_LABEL_CHARS,
    AssetId,
    LabeledBox,
)
from sightline.tools.shared.dependencies import Call, dependencies, principal
from sightline.tools.shared.images import parse_box
from sightline.tools.shared.tool_results import ToolResult, to_tool_result

DESCRIPTION = """\
Save labeled boxes on an asset, all or none. view_image with annotated=true shows them."""


class SavedAnnotations(ToolResult):
    """The saved boxes."""

    asset: str
    annotations: list[int] = Field(description="Ids in the order of the boxes.")
    uris: list[str] = Field(description="The asset with one annotation drawn on it.")


RESULT = SavedAnnotations


async def tool(
    ctx: Call,
    asset: AssetId,
    boxes: Annotated[
        list[LabeledBox],
        Field(max_length=MAX_BOXES, description="Boxes with labels."),
    ],
    origin: Annotated[Literal["person", "model"], Field(description="Who drew them.")],
    model: Annotated[str, Field(max_length=MAX_LABEL_CHARS, description="Name of the model.")] = "",
    score: Annotated[
        float | None, Field(ge=0, le=1, description="Confidence of the model, 0 to 1.")
    ] = None,
    note: Annotated[str, Field(max_length=2_000, description="Remark.")] = "",
    replace: Annotated[bool, Field(description="Delete your earlier ones.")] = False,
    delete: Annotated[
        list[int] | None,
        Field(max_length=MAX_BOXES, description="Ids to delete."),
    ] = None,
) -> CallToolResult:
    if origin == "model" and not model:
        raise InvalidArgumentError("The origin is 'model'. Name the model in `model`.")
    if not (boxes or replace or delete):
        raise InvalidArgumentError("boxes is empty. Give boxes to save, or ids to `delete`.")
    if not all(each.label.strip() for each in boxes):
        raise InvalidArgumentError("A box has no label. Give every box a label.")
    new = [
        NewAnnotation(
            label=each.label.strip(),
            box=parse_box(each.box),
            origin=origin,
            score=score,
            model=model or None,
            note=note or None,
        )
        for each in boxes
    ]
    async with dependencies(ctx).write_connection() as connection:
        record = await assets.fetch_one(connection, asset)
        ids = await annotation_records.save(
            connection, record.id, new, author=principal(), replace=replace, delete=delete or ()
        )
    uris = [f"sightline://asset/{record.id}/annotated/{each}" for each in ids]
    return to_tool_result(SavedAnnotations(asset=record.id, annotations=ids, uris=uris))
