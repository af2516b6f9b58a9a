"""Find white vehicles before 5 pm with words and a time filter."""

from __future__ import annotations

from typing import Any

from calling import Say, call, main
from mcp import Client


async def show(client: Client, collection: str, say: Say) -> dict[str, Any]:
    """Search by words, limited to a time of day."""
    result = await call(
        client,
        "search_images",
        query="a white vehicle parked in the street",
        filters={"time_of_day": {"lt": "17:00"}},
        collection=collection,
        limit=5,
    )
    for hit in result["hits"]:
        say(f"{hit['captured_at']} {hit['source']} {hit.get('caption') or ''}")
    return result


if __name__ == "__main__":
    main(show)
