"""Have we seen this problem before? A screenshot of a geometry problem finds it, and its like."""

from __future__ import annotations

import base64
import io
from typing import Any

from calling import Say, call, main
from mcp import Client
from mcp.types import BlobResourceContents
from PIL import Image


def screenshot(picture: Image.Image) -> str:
    """The picture as a person would send it: smaller, in a window, saved as JPEG."""
    shown = picture.convert("RGB").resize((picture.width * 4 // 5, picture.height * 4 // 5))
    window = Image.new("RGB", (shown.width + 24, shown.height + 48), (222, 225, 230))
    window.paste(shown, (12, 36))
    buffer = io.BytesIO()
    window.save(buffer, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


async def show(client: Client, collection: str, say: Say) -> dict[str, Any]:
    """Take any problem of the collection, make a screenshot of it, and search by that alone."""
    words = await call(
        client, "search_images", query="a geometry problem", collection=collection, limit=1
    )
    original = words["hits"][0]
    resource = await client.read_resource(original["uri"])
    (content,) = resource.contents
    if not isinstance(content, BlobResourceContents):
        raise RuntimeError(f"{original['uri']} is no picture")
    with Image.open(io.BytesIO(base64.b64decode(content.blob))) as picture:
        sent = screenshot(picture)
    found = await call(client, "search_images", image=sent, collection=collection, limit=3)
    for hit in found["hits"]:
        say(f"{hit['score']} {hit['source']}")
    sources = [hit["source"] for hit in found["hits"]]
    return {"original": original["source"], "sources": sources}


if __name__ == "__main__":
    main(show)
