"""Demo tour: calls every tool over HTTP through an MCP client."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from typing import Any

from mcp import Client
from mcp.types import BlobResourceContents, ImageContent, TextContent

from sightline.server.cli.demo.demo_album import DemoAlbum
from sightline.server.reports.tour_page import TourImage, TourStep
from sightline.storage.errors import SightlineError

_MAX_SHOWN_CHARS = 300

#: Question kinds that the built-in model answers best (see its model card).
ANSWERED_KINDS = ("existence", "count", "location", "unanswerable")


class TourError(SightlineError):
    """A tool call of the tour failed."""


class TourRunner:
    """Calls tools, prints the calls and results, and records the steps for the page."""

    def __init__(self, client: Client, collection: str, print_line: Callable[[str], None]) -> None:
        self._client = client
        self.collection = collection
        self._print = print_line
        self.steps: list[TourStep] = []

    async def call(
        self, title: str, tool: str, arguments: Mapping[str, Any], *, truth: str = ""
    ) -> dict[str, Any]:
        """Run one step and return the structured result; raise TourError if it fails.

        ``truth`` is the correct answer; it is printed beside the result.
        """
        shown = _truncate(json.dumps(arguments, ensure_ascii=False))
        self._print(f"\n{title}\n  > {tool} {shown}")
        result = await self._client.call_tool(tool, dict(arguments))
        if result.is_error or result.structured_content is None:
            texts = [block.text for block in result.content if isinstance(block, TextContent)]
            raise TourError(f"{tool} failed: {' '.join(texts)}")
        content = dict(result.structured_content)
        summary = _summary(content) + (f" (correct: {truth})" if truth else "")
        images = [
            *[await self._hit_image(hit) for hit in content.get("hits", [])],
            *(
                TourImage(["image of the tool"], base64.b64decode(block.data))
                for block in result.content
                if isinstance(block, ImageContent)
            ),
        ]
        self.steps.append(TourStep(title, tool, shown, summary, images))
        self._print(f"  < {summary}")
        for image in images:
            self._print("    " + "  ".join(image.lines))
        return content

    async def search(self, title: str, **arguments: object) -> list[dict[str, Any]]:
        """Run one image search and return its hits."""
        values = {"limit": 4, "collection": self.collection, **arguments}
        hits: list[dict[str, Any]] = (await self.call(title, "search_images", values))["hits"]
        return hits

    async def search_text(self, query: str) -> None:
        values = {"query": query, "limit": 3, "collection": self.collection}
        await self.call("Text in images", "search_text", values)

    async def _hit_image(self, hit: Mapping[str, Any]) -> TourImage:
        below = " (below threshold)" if hit.get("below_threshold") else ""
        lines = [
            f"[{hit['number']}] {hit['source']}",
            _text_of_hit(hit),
            f"score {hit['score']}{below}",
        ]
        asset = hit.get("asset")
        id_ = asset.get("asset") if isinstance(asset, Mapping) else asset
        if id_ is None:
            return TourImage(lines, None)
        result = await self._client.read_resource(f"sightline://asset/{id_}/thumbnail")
        blobs = [item.blob for item in result.contents if isinstance(item, BlobResourceContents)]
        return TourImage(lines, base64.b64decode(blobs[0]) if blobs else None)


async def run_demo_tour(tour: TourRunner, upload: bytes, album: DemoAlbum) -> None:
    """Run the tour on the demo images; ``upload`` is a JPEG to add."""
    await tour.call("List collections", "list_collections", {})
    hits = await tour.search("Text query", query="a red bus at night in front of a bookshop")
    await tour.search("Chinese query", query="一辆蓝色的公共汽车")
    first = hits[0]["asset"]
    questions = album.questions(hits[0]["source"].rsplit("/", 1)[-1])
    for kind, (question, truth) in questions.items():
        if kind in ANSWERED_KINDS:
            arguments = {"question": question, "assets": [first], "annotate": True}
            await tour.call(f"Question ({kind})", "answer_question", arguments, truth=truth)
    await tour.search("Similar images", image=first)
    await tour.search(
        "Query and filter: white vehicles before 5 pm",
        query="a white vehicle parked in the street",
        filters={"time_of_day": {"between": ["06:00", "17:00"]}},
    )
    await tour.search("X-ray images", query="an X-ray of a spine")
    await tour.search_text(album.part_number)
    box = {"box": [0.3, 0.3, 0.7, 0.7], "label": "center 中间"}
    await tour.call("Draw a box", "annotate_image", {"asset": first, "boxes": [box]})
    await tour.call("View an image", "view_image", {"asset": first, "max_edge": 512})
    await _add_and_delete(tour, upload)


async def run_user_tour(tour: TourRunner, upload: bytes) -> None:
    """Run the tour on images of the user."""
    await tour.call("List collections", "list_collections", {})
    hits = await tour.search("Text query", query="an image")
    if not hits:
        raise TourError("no image could be ingested")
    first = hits[0]
    await tour.search("Similar images", image=first["asset"])
    await tour.search_text((_text_of_hit(first) or first["source"])[:80])
    await tour.call("View an image", "view_image", {"asset": first["asset"], "max_edge": 512})
    await _add_and_delete(tour, upload)


async def _add_and_delete(tour: TourRunner, jpeg: bytes) -> None:
    name = "added-by-the-tour.jpg"
    image = {
        "name": name,
        "data": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"),
        "caption": "image uploaded by the tour, zebra crossing 4711",
    }
    arguments = {"collection": tour.collection, "uploads": [image]}
    await tour.call("Add an image", "add_images", arguments)
    (added,) = await tour.search("Find it by its caption", query="zebra crossing 4711", limit=1)
    if added["source"] != name:
        raise TourError(f"the added image was not found, but {added['source']}")
    await tour.call("Delete it", "delete_assets", {"assets": [added["asset"]]})


def _text_of_hit(hit: Mapping[str, Any]) -> str:
    text = hit.get("caption") or hit.get("text") or ""
    return str(text["text"] if isinstance(text, Mapping) else text)


def _summary(content: Mapping[str, Any]) -> str:
    if "collections" in content:
        return "; ".join(
            f"{item['name']}: {item['assets']} assets, {item['passages']} passages"
            for item in content["collections"]
        )
    if "hits" in content:
        total = content["timings_ms"].get("total")
        return f"{len(content['hits'])} hits" + (f" in {total} ms" if total is not None else "")
    if "status" in content:
        verdicts = ", ".join(claim["verdict"] for claim in content["claims"])
        answer = content.get("answer") or f"no answer: {content.get('missing', content['status'])}"
        return answer + (f" ({verdicts})" if verdicts else "")
    if "boxes" in content:
        return ", ".join(f"{box['label']} at {box['box']}" for box in content["boxes"])
    if "evidence" in content:
        evidence = content["evidence"]
        return f"{evidence['source']}, {' x '.join(map(str, content['shown_size']))} pixels"
    return _truncate(json.dumps(content, ensure_ascii=False))


def _truncate(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…"
