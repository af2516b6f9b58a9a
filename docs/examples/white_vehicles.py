"""Which white vehicles were parked before 5 pm? Words for what is seen, a filter for the time."""

from __future__ import annotations

from typing import Any

from calling import Say, call, main
from mcp import Client


async def show(client: Client, collection: str, say: Say) -> dict[str, Any]:
    """A search with a time of day: no picture of a later hour can come."""
    found = await call(
        client,
        "search_images",
        query="a white vehicle parked in the street",
        filters={"time_of_day": {"lt": "17:00"}},
        collection=collection,
        limit=5,
    )
    for hit in found["hits"]:
        say(f"{hit['captured_at']} {hit['source']} {hit.get('caption') or ''}")
    return found


if __name__ == "__main__":
    main(show)
