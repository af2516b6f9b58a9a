"""How far apart are the holes of this heat sink? What is written there, and what the model says."""

from __future__ import annotations

from typing import Any

from calling import Say, call, main
from mcp import Client

QUESTION = "What is the horizontal hole spacing in mm?"


async def show(client: Client, collection: str, say: Say, part: str = "") -> dict[str, Any]:
    """Find the drawing by its part number, read it, ask."""
    read = await call(
        client, "search_text", query=part or "heat sink", collection=collection, kinds=["ocr"]
    )
    drawing = read["hits"][0]["asset"]
    say(f"{drawing['source']}: {read['hits'][0]['text']}")
    answer = await call(client, "answer_question", question=QUESTION, assets=[drawing["asset"]])
    say(f"{QUESTION} {answer.get('answer') or answer['missing']}")
    for claim in answer["claims"]:
        say(f"  {claim['verdict']}: {'; '.join(claim['why'])}")
    return {"asset": drawing["asset"], "read": [hit["text"] for hit in read["hits"]], **answer}


if __name__ == "__main__":
    main(show)
