"""``count``: count images or passages, in total and by the values of a key."""

from __future__ import annotations

from typing import Annotated, Literal

from mcp.types import CallToolResult
from pydantic import Field, JsonValue

from sightline.storage.retrieval.counting import count_selected
from sightline.storage.retrieval.search_types import ResultLevel
from sightline.tools.shared.argument_types import (
    MAX_NAME_CHARS,
    Collection,
    Filters,
    selection,
)
from sightline.tools.shared.dependencies import Call, dependencies
from sightline.tools.shared.tool_results import ToolModel, ToolResult, to_tool_result

DESCRIPTION = """\
Count what filters match, in total and by the values of a key: receipts of each company, photos of
each year."""


class CountedValue(ToolModel):
    """A value of the key."""

    value: JsonValue
    count: int


class Counts(ToolResult):
    """The number of matches, and by value if the call names a key."""

    total: int
    values: list[CountedValue] | None = Field(
        default=None, description="Most frequent first. Values in another case are other values."
    )
    other_values: int | None = Field(default=None, description="Distinct values left out.")
    without_value: int | None = Field(default=None, description="Matches without the key.")


RESULT = Counts


async def tool(
    ctx: Call,
    collection: Collection = "",
    filters: Filters = None,
    by: Annotated[
        str,
        Field(
            max_length=MAX_NAME_CHARS,
            description="A key of filters, such as captured_at.year.",
        ),
    ] = "",
    of: Annotated[Literal["images", "passages"], Field(description="Default: images.")] = "images",
    limit: Annotated[int, Field(description="Values, 1 to 200, default 20.")] = 20,
) -> CallToolResult:
    deps = dependencies(ctx)
    level: ResultLevel = "asset" if of == "images" else "passage"
    counted = await count_selected(
        await deps.database.get(),
        selection(collection, filters),
        level=level,
        by=by or None,
        limit=limit,
    )
    values = [CountedValue.model_validate(each) for each in counted.values]
    return to_tool_result(
        Counts(
            total=counted.total,
            values=values if by else None,
            other_values=counted.other_values or None,
            without_value=counted.without_value or None,
            notes=list(counted.notes) or None,
        )
    )
