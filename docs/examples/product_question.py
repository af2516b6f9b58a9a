"""What does this product cost? One product by its id, and the place on the card drawn."""

from __future__ import annotations

from typing import Any

from calling import Say, main, whole
from mcp import Client
from mcp.types import ImageContent

QUESTION = "What is the price?"


async def show(client: Client, collection: str, say: Say, product: str = "") -> dict[str, Any]:
    """The filter leaves one card: whatever the model says, it can be of no other product."""
    result = await whole(
        client,
        "answer_question",
        question=QUESTION,
        collection=collection,
        filters={"product_id": product} if product else {"family": "product"},
        annotate=True,
    )
    answer = dict(result.structured_content or {})
    pictures = [block for block in result.content if isinstance(block, ImageContent)]
    say(f"{QUESTION} {answer.get('answer') or answer['missing']}")
    for claim in answer["claims"]:
        say(f"  {claim['verdict']}: {'; '.join(claim['why'])}")
    say(f"{len(pictures)} annotated pictures")
    return {**answer, "pictures": len(pictures)}


if __name__ == "__main__":
    main(show)
