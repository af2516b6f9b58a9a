"""Which vertebra is abnormal? A red box on the film, and the box kept for a person to check."""

from __future__ import annotations

from typing import Any

from calling import Say, call, main
from mcp import Client

PHRASE = "the abnormal vertebra"


async def show(client: Client, collection: str, say: Say) -> dict[str, Any]:
    """Find a film, have the model mark the vertebra, and keep what it marked as the model's."""
    films = await call(
        client,
        "search_images",
        query="X-ray film of a spine with an abnormal vertebra",
        collection=collection,
        limit=3,
    )
    film = films["hits"][0]
    marked = await call(client, "annotate_image", asset=film["asset"], phrases=[PHRASE])
    (outcome,) = marked["phrases"]
    say(f"{film['source']}: {PHRASE} is {outcome['status']} at {marked['boxes']}")
    kept: list[int] = []
    if marked["boxes"]:
        boxes = [{"box": each["box"], "label": "abnormal?"} for each in marked["boxes"]]
        saved = await call(
            client,
            "save_annotation",
            asset=film["asset"],
            boxes=boxes,
            origin="model",
            model=marked["model"],
            note="marked by a model, not checked",
        )
        kept = saved["annotations"]
    return {"source": film["source"], "asset": film["asset"], "kept": kept, **marked}


if __name__ == "__main__":
    main(show)
