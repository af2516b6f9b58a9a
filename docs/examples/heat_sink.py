"""Answer a question about a technical drawing: the hole spacing of a heat sink."""

from __future__ import annotations

from typing import Any

from calling import Say, call, main
from mcp import Client

QUESTION = "What is the horizontal hole spacing in mm?"


async def show(client: Client, collection: str, say: Say, part: str = "") -> dict[str, Any]:
    """Find the drawing by its part number, then ask about it."""
    texts = await call(
        client, "search_text", query=part or "heat sink", collection=collection, kinds=["ocr"]
    )
    first = texts["hits"][0]
    say(f"{first['source']}: {first['text']}")
    answer = await call(client, "answer_question", question=QUESTION, assets=[first["asset"]])
    say(f"{QUESTION} {answer.get('answer') or answer['missing']}")
    for claim in answer["claims"]:
        say(f"  {claim['verdict']}: {'; '.join(claim['reasons'])}")
    return {"asset": first["asset"], "texts": [hit["text"] for hit in texts["hits"]], **answer}


if __name__ == "__main__":
    main(show)
