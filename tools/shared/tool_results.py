"""Results of tools: JSON text, the same as structured content, then images.

Many clients read only the first text block and some drop images, so that block is complete.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import Annotated

from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.types import CallToolResult, ContentBlock, ImageContent, TextContent
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from sightline.storage.errors import SightlineError, UnknownAssetError, UnknownNameError
from sightline.tools.shared.images import EncodedImage

#: Scores have four decimals and times one, to save tokens.
Score = Annotated[float, PlainSerializer(lambda value: round(value, 4), return_type=float)]
Milliseconds = Annotated[float, PlainSerializer(lambda value: round(value, 1), return_type=float)]
Timings = Annotated[
    dict[str, Milliseconds], Field(description="Milliseconds by stage; 'total' is their sum.")
]
Reranked = Annotated[
    bool | None, Field(description="A reranker ordered the first hits, not their scores.")
]
Thresholds = Annotated[
    dict[str, Score], Field(description="Score above which a hit is significant, by retriever.")
]
NormalizedBox = Annotated[
    Sequence[Score],
    Field(description="Corners [x0, y0, x1, y1], 0 to 1 of the upright image, origin top left."),
]


class ToolModel(BaseModel):
    """Base of all results and arguments. Results omit fields that are None."""

    model_config = ConfigDict(extra="forbid", from_attributes=True)


def to_tool_result(result: ToolModel, images: Sequence[EncodedImage] = ()) -> CallToolResult:
    """Return the result as JSON text and structured content, followed by the images."""
    content: list[ContentBlock] = [
        TextContent(type="text", text=result.model_dump_json(exclude_none=True))
    ]
    content += [
        ImageContent(
            type="image",
            data=base64.b64encode(image.data).decode("ascii"),
            mime_type=image.mime_type,
        )
        for image in images
    ]
    return CallToolResult(
        content=content,
        structured_content=result.model_dump(mode="json", exclude_none=True),
    )


def to_resource_error(error: SightlineError) -> ResourceError:
    """Convert a Sightline error to the SDK's error for resources."""
    is_unknown = isinstance(error, UnknownAssetError | UnknownNameError)
    return (ResourceNotFoundError if is_unknown else ResourceError)(str(error))
