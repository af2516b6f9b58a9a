"""Demo images, and a tour that calls every tool over HTTP through an MCP client."""

from __future__ import annotations

import base64
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import BlobResourceContents, ImageContent, TextContent

from sightline.server.observability.terminal import write_lines
from sightline.server.reports.tour_page import TourClaim, TourImage, TourStep
from sightline.storage.errors import SightlineError
from sightline.tools.shared.tool_results import read_result

COLLECTION = "demo"
USER_COLLECTION = "my-images"

_IMAGES = 180
_SEED = 7
#: Ground truth files of the export, which are not ingested.
_GROUND_TRUTH = ("questions.jsonl", "instances.json")
_MAX_SHOWN_CHARS = 300

#: Question kinds that the built-in model answers best (see its model card).
ANSWERED_KINDS = ("existence", "count", "location", "unanswerable")


@dataclass(frozen=True, slots=True)
class DemoAlbum:
    """The demo images. ``part_number`` is written on one of the drawings."""

    folder: Path
    part_number: str

    def questions(self, file_name: str) -> dict[str, tuple[str, str]]:
        """Return one English question of each kind about an image, and its answer."""
        by_kind: dict[str, tuple[str, str]] = {}
        with self.folder.with_name("questions.jsonl").open(encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                if row["file_name"].endswith(file_name) and row["language"] == "en":
                    by_kind.setdefault(row["kind"], (row["question"], row["answer"]))
        return by_kind


def draw_demo_album(data_dir: Path) -> DemoAlbum:
    """Return the demo images in the data folder; draw them if they are missing.

    They are from the test split, which was not used to train the built-in models.
    """
    folder = data_dir / "demo" / "album"
    if not folder.is_dir():
        from sightline.training.world.export import export

        temporary = folder.with_name("drawn")
        shutil.rmtree(temporary, ignore_errors=True)  # left by an interrupted run
        export(temporary, split="test", count=_IMAGES, seed=_SEED, workers=2)
        for name in _GROUND_TRUTH:
            (temporary / name).replace(folder.with_name(name))
        temporary.rename(folder)
    with (folder / "metadata.jsonl").open(encoding="utf-8") as lines:
        captions = [json.loads(line)["caption"] for line in lines if '"family": "heatsink"' in line]
    matches = (re.search(r"\b[A-Z]{2}-\d{2}\b", caption) for caption in captions)
    return DemoAlbum(folder, next(match.group() for match in matches if match is not None))


class TourError(SightlineError):
    """A tool call of the tour failed."""


@dataclass
class TourRunner:
    """Calls tools, prints the calls and results, and records the steps for the page."""

    client: Client
    collection: str
    steps: list[TourStep] = field(default_factory=list)

    async def call(
        self, title: str, tool: str, arguments: Mapping[str, Any], *, truth: str = ""
    ) -> dict[str, Any]:
        """Run one step and return its result; raise TourError if it fails.

        ``truth`` is the correct answer; it is printed beside the result.
        """
        shown = _truncate(json.dumps(arguments, ensure_ascii=False))
        write_lines("", title, f"  > {tool} {shown}")
        result = await self.client.call_tool(tool, dict(arguments))
        if result.is_error:
            texts = [block.text for block in result.content if isinstance(block, TextContent)]
            raise TourError(f"{tool} failed: {' '.join(texts)}")
        content = read_result(result)
        summary = _summary(content) + (f" (correct: {truth})" if truth else "")
        images = [await self._hit_image(hit) for hit in content.get("hits", [])]
        images += [
            TourImage(["image of the tool"], base64.b64decode(block.data))
            for block in result.content
            if isinstance(block, ImageContent)
        ]
        claims = [_claim(each) for each in content.get("claims", [])]
        self.steps.append(TourStep(title, tool, shown, summary, images, claims))
        lines = [f"{each.text}: {each.verdict}: {'; '.join(each.reasons)}" for each in claims]
        lines += ["  ".join(image.lines) for image in images]
        write_lines(f"  < {summary}", *(f"    {line}" for line in lines))
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
        weak = " (weak)" if hit.get("weak") else ""
        lines = [
            f"[{hit['number']}] {hit['source']}",
            _text_of_hit(hit),
            f"score {hit['score']}{weak}",
        ]
        asset = hit.get("asset")
        id_ = asset.get("asset") if isinstance(asset, Mapping) else asset
        if id_ is None:
            return TourImage(lines, None)
        result = await self.client.read_resource(f"sightline://asset/{id_}/thumbnail")
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
    if "shown_size" in content:
        size = " x ".join(map(str, content["shown_size"]))
        return f"{content['asset']['source']}, {size} pixels"
    return _truncate(json.dumps(content, ensure_ascii=False))


def _claim(claim: Mapping[str, Any]) -> TourClaim:
    checks = [
        f"{each['check']}: {each['outcome']} ({each['milliseconds']:.0f} ms)"
        for each in claim.get("checks", [])
    ]
    return TourClaim(claim["text"], claim["verdict"], claim["reasons"], checks)


def _truncate(text: str) -> str:
    return text if len(text) <= _MAX_SHOWN_CHARS else text[:_MAX_SHOWN_CHARS] + "…"
