"""The tour: every tool called over HTTP by the SDK's client, as an assistant would."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mcp import Client
from mcp.types import BlobResourceContents, CallToolResult, ImageContent, TextContent

from sightline.server.cli.demo.demo_album import Album
from sightline.server.reports.tour_page import TourImage, TourStep
from sightline.storage.errors import SightlineError

_ANSWER_CHARS = 300

#: What the built-in model is asked: the kinds of questions that it is best at, see its card.
ANSWERED_KINDS = ("existence", "count", "location", "unanswerable")


class TourError(SightlineError):
    """A tool failed on the tour."""


class Guide:
    """Calls tools, tells what was asked and got, and keeps the steps for the page."""

    def __init__(self, client: Client, tell: Callable[[str], None]) -> None:
        """``tell`` is given one line at a time."""
        self._client = client
        self._tell = tell
        self.steps: list[TourStep] = []

    async def call(
        self, title: str, tool: str, arguments: Mapping[str, Any], *, truth: str = ""
    ) -> dict[str, Any]:
        """One step; its structured result. Raises TourError where the tool failed.

        ``truth`` is what is known to be right, told beside what the tool said.
        """
        asked = json.dumps(arguments, ensure_ascii=False)
        shown = asked if len(asked) <= _ANSWER_CHARS else asked[:_ANSWER_CHARS] + "…"
        self._tell(f"\n{title}\n  > {tool} {shown}")
        result = await self._client.call_tool(tool, dict(arguments))
        if result.is_error or result.structured_content is None:
            raise TourError(f"{tool} failed: {_text(result)}")
        found = dict(result.structured_content)
        said = _summary(found) + (f" (drawn: {truth})" if truth else "")
        pictures = [
            *await self._hits(found.get("hits", [])),
            *(
                TourImage(["shown by the tool"], base64.b64decode(block.data))
                for block in result.content
                if isinstance(block, ImageContent)
            ),
        ]
        self.steps.append(TourStep(title, tool, shown, said, pictures))
        self._tell(f"  < {said}")
        for picture in pictures:
            self._tell("    " + "  ".join(picture.lines))
        return found

    async def _hits(self, hits: Sequence[Mapping[str, Any]]) -> list[TourImage]:
        return [
            TourImage(
                [
                    f"[{hit['number']}] {hit['source']}",
                    _words(hit),
                    f"score {hit['score']}"
                    + (" (below threshold)" if hit.get("below_threshold") else ""),
                ],
                await self._thumbnail(_asset_id(hit)),
            )
            for hit in hits
        ]

    async def _thumbnail(self, asset: str | None) -> bytes | None:
        if asset is None:
            return None
        read = await self._client.read_resource(f"sightline://asset/{asset}/thumbnail")
        blobs = [each for each in read.contents if isinstance(each, BlobResourceContents)]
        return base64.b64decode(blobs[0].blob) if blobs else None


async def drawn_tour(
    guide: Guide, collection: str, upload: bytes, album: Album, *, answers: bool
) -> None:
    """Over the drawn album, whose contents are known.

    ``upload`` is one more JPEG to add; ``answers`` says whether there is a model to ask.
    """
    await guide.call("What is there?", "list_collections", {})
    scope = {"collection": collection}
    search = "search_images"
    words = "a red bus at night in front of a bookshop"
    hits = await guide.call("Words", search, {"query": words, "limit": 4, **scope})
    await guide.call("Chinese words", search, {"query": "一辆蓝色的公共汽车", "limit": 4, **scope})
    first = hits["hits"][0]["asset"]
    if answers:
        file_name = hits["hits"][0]["source"].rsplit("/", 1)[-1]
        for asked in album.questions(file_name):
            if asked.kind not in ANSWERED_KINDS:
                continue
            arguments = {"question": asked.question, "assets": [first], "annotate": True}
            title = f"A question ({asked.kind})"
            await guide.call(title, "answer_question", arguments, truth=asked.answer)
    await guide.call("More like this one", search, {"image": first, "limit": 4, **scope})
    await guide.call(
        "Words and a time: white vehicles before 5 pm",
        search,
        {
            "query": "a white vehicle parked in the street",
            "filters": {"time_of_day": {"between": ["06:00", "17:00"]}},
            "limit": 4,
            **scope,
        },
    )
    await guide.call("A finding", search, {"query": "an X-ray of a spine", "limit": 4, **scope})
    await guide.call("What is written", "search_text", {"query": album.part, "limit": 3, **scope})
    box = {"box": [0.3, 0.3, 0.7, 0.7], "label": "the middle 中间"}
    await guide.call("Mark a place", "annotate_image", {"asset": first, "boxes": [box]})
    await guide.call("Look closely", "view_image", {"asset": first, "max_edge": 512})
    await _add_and_delete(guide, collection, upload)


async def own_tour(guide: Guide, collection: str, upload: bytes) -> None:
    """Over a person's own pictures, of which nothing is known but their captions."""
    await guide.call("What is there?", "list_collections", {})
    scope = {"collection": collection}
    hits = await guide.call("Words", "search_images", {"query": "a picture", "limit": 4, **scope})
    if not hits["hits"]:
        raise TourError("none of the pictures could be ingested")
    first = hits["hits"][0]
    await guide.call(
        "More like this one", "search_images", {"image": first["asset"], "limit": 4, **scope}
    )
    words = _words(first) or first["source"]
    await guide.call("What is written", "search_text", {"query": words[:80], "limit": 3, **scope})
    await guide.call("Look closely", "view_image", {"asset": first["asset"], "max_edge": 512})
    await _add_and_delete(guide, collection, upload)


async def _add_and_delete(guide: Guide, collection: str, jpeg: bytes) -> None:
    name = "added-by-the-tour.jpg"
    picture = {
        "name": name,
        "data": "data:image/jpeg;base64," + base64.b64encode(jpeg).decode("ascii"),
        "caption": "a picture that the tour has sent, zebra crossing 4711",
    }
    await guide.call(
        "Add a picture", "add_images", {"collection": collection, "uploads": [picture]}
    )
    found = await guide.call(
        "Find it by its caption",
        "search_images",
        {"query": "zebra crossing 4711", "collection": collection, "limit": 1},
    )
    added = found["hits"][0]
    if added["source"] != name:
        raise TourError(f"the added picture was not found; {added['source']} was")
    await guide.call("Delete it again", "delete_assets", {"assets": [added["asset"]]})


def _asset_id(hit: Mapping[str, Any]) -> str | None:
    asset = hit.get("asset")
    return asset.get("asset") if isinstance(asset, Mapping) else asset


def _words(hit: Mapping[str, Any]) -> str:
    text = hit.get("caption") or hit.get("text") or ""
    return str(text["text"] if isinstance(text, Mapping) else text)


def _text(result: CallToolResult) -> str:
    return " ".join(block.text for block in result.content if isinstance(block, TextContent))


def _summary(found: Mapping[str, Any]) -> str:
    if "collections" in found:
        return "; ".join(
            f"{each['name']}: {each['assets']} pictures, {each['passages']} passages"
            for each in found["collections"]
        )
    if "hits" in found:
        total = found["timings_ms"].get("total")
        return f"{len(found['hits'])} hits" + (f" in {total} ms" if total is not None else "")
    if "status" in found:
        verdicts = ", ".join(claim["verdict"] for claim in found["claims"])
        answer = found.get("answer") or f"no answer: {found.get('missing', found['status'])}"
        return answer + (f" ({verdicts})" if verdicts else "")
    if "boxes" in found:
        return ", ".join(f"{each['label']} at {each['box']}" for each in found["boxes"])
    if "evidence" in found:
        evidence = found["evidence"]
        return f"{evidence['source']}, {' x '.join(map(str, found['shown_size']))} pixels"
    text = json.dumps(found, ensure_ascii=False)
    return text if len(text) <= _ANSWER_CHARS else text[:_ANSWER_CHARS] + "…"
