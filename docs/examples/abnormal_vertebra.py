"""Mark the abnormal vertebra in an X-ray and save the box for a person to check."""

from __future__ import annotations

from typing import Any

from calling import Say, call, main
from mcp import Client

PHRASE = "the abnormal vertebra"


async def show(client: Client, collection: str, say: Say) -> dict[str, Any]:
    """Find an X-ray, let the model mark the vertebra, and save its boxes."""
    xrays = await call(
        client,
        "search_images",
        query="X-ray of a spine with an abnormal vertebra",
        collection=collection,
        limit=3,
    )
    xray = xrays["hits"][0]
    result = await call(client, "annotate_image", asset=xray["asset"], phrases=[PHRASE])
    (outcome,) = result["phrases"]
    say(f"{xray['source']}: {PHRASE} is {outcome['status']} at {result['boxes']}")
    saved_ids: list[int] = []
    if result["boxes"]:
        boxes = [{"box": each["box"], "label": "abnormal?"} for each in result["boxes"]]
        saved = await call(
            client,
            "save_annotation",
            asset=xray["asset"],
            boxes=boxes,
            origin="model",
            model=result["model"],
            note="found by a model, not checked",
        )
        saved_ids = saved["annotations"]
    return {"source": xray["source"], "asset": xray["asset"], "saved": saved_ids, **result}


if __name__ == "__main__":
    main(show)
