"""Ask for the price of one product and draw its position."""

from __future__ import annotations

from typing import Any

from calling import Say, call_tool, main, result_of
from mcp import Client
from mcp.types import ImageContent

QUESTION = "What is the price?"


async def show(client: Client, collection: str, say: Say, product: str = "") -> dict[str, Any]:
    """Ask with a filter, so that only one product card is evidence."""
    result = await call_tool(
        client,
        "answer_question",
        question=QUESTION,
        collection=collection,
        filters={"product_id": product} if product else {"family": "product"},
        annotate=True,
    )
    answer = result_of(result)
    images = [block for block in result.content if isinstance(block, ImageContent)]
    say(f"{QUESTION} {answer.get('answer') or answer['missing']}")
    for claim in answer["claims"]:
        say(f"  {claim['verdict']}: {'; '.join(claim['reasons'])}")
    say(f"{len(images)} annotated images")
    return {**answer, "images": len(images)}


if __name__ == "__main__":
    main(show)
