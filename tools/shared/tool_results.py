"""How results reach a client: one typed model, the same JSON as first text block, then pictures.

Many clients read the first text block only, some turn image blocks into base64 text and some drop
them, so the first block is complete on its own and pictures come only when they were asked for.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated

from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from sightline.tools.shared.images import EncodedPicture

#: Scores carry four decimals and times one: more is noise that a model has to read.
Score = Annotated[float, PlainSerializer(lambda value: round(value, 4), return_type=float)]
Milliseconds = Annotated[float, PlainSerializer(lambda value: round(value, 1), return_type=float)]
Timings = Annotated[
    dict[str, Milliseconds], Field(description="Milliseconds by stage; 'total' is all of them.")
]
Reranked = Annotated[
    bool | None,
    Field(description="A second model put the first hits in this order; their scores did not."),
]
NormalisedBox = Annotated[
    list[Score],
    Field(description="Corners [x0, y0, x1, y1], 0 to 1 of the upright picture, origin top left."),
]


class Result(BaseModel):
    """Base of all tool results. Fields that are ``None`` or empty are left out of the JSON."""

    model_config = ConfigDict(extra="forbid")


def as_tool_result(result: Result, pictures: Sequence[EncodedPicture] = ()) -> CallToolResult:
    """The result as structured content, as text, and the pictures behind it."""
    content: list[ContentBlock] = [
        TextContent(type="text", text=result.model_dump_json(exclude_none=True))
    ]
    content += [
        ImageContent(
            type="image",
            data=base64.b64encode(picture.data).decode("ascii"),
            mime_type=picture.mime_type,
        )
        for picture in pictures
    ]
    return CallToolResult(
        content=content,
        structured_content=result.model_dump(mode="json", exclude_none=True),
    )
