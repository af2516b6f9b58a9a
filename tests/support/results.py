"""Results of tools as a client reads them."""

from __future__ import annotations

import base64
import io
import json
from typing import Any

from mcp.types import CallToolResult, ImageContent, TextContent
from PIL import Image


def json_of(result: CallToolResult) -> dict[str, Any]:
    """Return the JSON of the first text block of a successful result.

    Structured content is the same, and is absent beside images.
    """
    first, *rest = result.content
    assert isinstance(first, TextContent)
    assert not result.is_error, first.text
    data: dict[str, Any] = json.loads(first.text)
    assert first.text == json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    assert result.structured_content == (None if rest else data)
    return data


def images_of(result: CallToolResult) -> list[Image.Image]:
    """Return the JPEGs after the first text block."""
    images = []
    for block in result.content[1:]:
        assert isinstance(block, ImageContent)
        assert block.mime_type == "image/jpeg"
        image = Image.open(io.BytesIO(base64.b64decode(block.data)))
        image.load()
        images.append(image)
    return images
