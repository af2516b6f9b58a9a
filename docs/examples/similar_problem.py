"""Find a geometry problem from a screenshot of it."""

from __future__ import annotations

import base64
import io
from typing import Any

from calling import Say, call, main
from mcp import Client
from mcp.types import BlobResourceContents
from PIL import Image


def screenshot(image: Image.Image) -> str:
    """Return a screenshot: the image smaller, in a window, as JPEG data URL."""
    shown = image.convert("RGB").resize((image.width * 4 // 5, image.height * 4 // 5))
    window = Image.new("RGB", (shown.width + 24, shown.height + 48), (222, 225, 230))
    window.paste(shown, (12, 36))
    buffer = io.BytesIO()
    window.save(buffer, "JPEG", quality=70)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()


async def show(client: Client, collection: str, say: Say) -> dict[str, Any]:
    """Make a screenshot of any problem and search with it."""
    problems = await call(
        client, "search_images", query="a geometry problem", collection=collection, limit=1
    )
    original = problems["hits"][0]
    uri = f"sightline://asset/{original['asset']}"
    (content,) = (await client.read_resource(uri)).contents
    if not isinstance(content, BlobResourceContents):
        raise RuntimeError(f"{uri} is not an image")
    with Image.open(io.BytesIO(base64.b64decode(content.blob))) as image:
        query = screenshot(image)
    similar = await call(client, "search_images", image=query, collection=collection, limit=3)
    for hit in similar["hits"]:
        say(f"{hit['score']} {hit['source']}")
    sources = [hit["source"] for hit in similar["hits"]]
    return {"original": original["source"], "sources": sources}


if __name__ == "__main__":
    main(show)
