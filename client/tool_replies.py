"""Replies of tools: their JSON, their images, and their hits in plain values."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from sightline.storage.errors import SightlineError
from sightline.storage.retrieval.hydrate.search_hit import SearchHit
from sightline.storage.retrieval.search_types import SearchReport, SearchResults

if TYPE_CHECKING:
    from mcp.types import CallToolResult


_HINT = "Is this a Sightline server of this version?"


class ToolCallError(SightlineError):
    """A tool refused a call or failed; the message is that of the tool."""


@dataclass(frozen=True, slots=True)
class ToolReply:
    """The JSON of a tool's result, and its images as JPEG."""

    data: dict[str, Any]
    images: list[bytes] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class HitPage:
    """The hits of a search, best first, with remarks for the caller.

    ``next_cursor`` continues the search. ``total`` is the number of all matches of a search without
    a query.
    """

    hits: list[SearchHit]
    notes: list[str]
    next_cursor: str | None = None
    total: int | None = None
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    reranked: bool = False

    def __iter__(self) -> Iterator[SearchHit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)

    def __getitem__(self, index: int) -> SearchHit:
        return self.hits[index]


def parse_reply(tool: str, result: CallToolResult) -> ToolReply:
    """Return the JSON of the first text block and the images that follow.

    Raises ToolCallError with the text of the tool if the call failed.
    """
    texts = [block.text for block in result.content if block.type == "text"]
    if result.is_error:
        raise ToolCallError("\n".join(texts) or f"{tool} failed without a message.")
    try:
        data = json.loads(texts[0])
    except (IndexError, ValueError):
        data = None
    if not isinstance(data, dict):
        raise ToolCallError(f"The reply of {tool} is no JSON object. {_HINT}")
    images = [base64.b64decode(each.data) for each in result.content if each.type == "image"]
    return ToolReply(data, images)


def image_page(data: Mapping[str, Any]) -> HitPage:
    """Return the hits of ``search_images``. Raises ToolCallError for other JSON."""
    return _page(data, _image_hit)


def text_page(data: Mapping[str, Any]) -> HitPage:
    """Return the hits of ``search_text``. Raises ToolCallError for other JSON."""
    return _page(data, _text_hit)


def to_results(page: HitPage) -> SearchResults[SearchHit]:
    """Return the page as the result of a search, without its retrievers."""
    report = SearchReport(
        retrievers={},
        timings_ms=page.timings_ms,
        next_cursor=page.next_cursor,
        notes=tuple(page.notes),
        reranked=page.reranked,
    )
    return SearchResults(tuple(page.hits), report)


def _page(
    data: Mapping[str, Any], to_hit: Callable[[Mapping[str, Any], Mapping[str, Any]], SearchHit]
) -> HitPage:
    try:
        hits = [to_hit(hit, data) for hit in data["hits"]]
    except (AttributeError, KeyError, TypeError) as error:
        raise ToolCallError(f"The reply has no hits of a search ({error!r}). {_HINT}") from error
    return HitPage(
        hits=hits,
        notes=list(data.get("notes") or ()),
        next_cursor=data.get("next_cursor"),
        total=data.get("total"),
        timings_ms=data.get("timings_ms") or {},
        reranked=bool(data.get("reranked")),
    )


def _image_hit(hit: Mapping[str, Any], data: Mapping[str, Any]) -> SearchHit:
    passage: Mapping[str, Any] = hit.get("text") or {}
    texts = (hit.get("caption"), passage.get("text"))
    return SearchHit(
        id=hit["asset"],
        text="\n".join(filter(None, dict.fromkeys(texts))),
        kind=hit.get("kind") or "image",
        seconds=hit.get("seconds"),
        box=_box(hit.get("box") or passage.get("box")),
        passage=None if passage.get("kind") == "caption" else passage.get("passage"),
        duplicates=tuple(hit.get("duplicates") or ()),
        **_common(hit, data),
        **_asset_fields(hit),
    )


def _text_hit(hit: Mapping[str, Any], data: Mapping[str, Any]) -> SearchHit:
    image: Mapping[str, Any] = hit.get("image") or {}
    seconds: list[float | None] = hit.get("seconds") or [image.get("seconds")]
    start, end, *_ = [*seconds, None, None]
    fields = _common(hit, data)
    fields["page"] = fields["page"] or image.get("page")
    return SearchHit(
        id=hit["passage"],
        text=hit["text"],
        kind=hit["kind"],
        seconds=start,
        end_seconds=end,
        box=_box(hit.get("box")),
        passage=hit["passage"],
        **fields,
        **_asset_fields({**image, "asset": hit.get("asset")}),
    )


def _common(hit: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "score": hit["score"],
        "source": hit["source"],
        "collection": hit.get("collection") or data.get("collection") or "",
        "page": hit.get("page"),
        "weak": bool(hit.get("weak")),
        "distance": hit.get("distance"),
    }


def _asset_fields(asset: Mapping[str, Any]) -> dict[str, Any]:
    size = asset.get("size")
    return {
        "asset": asset.get("asset"),
        "captured_at": asset.get("captured_at"),
        "caption": asset.get("caption"),
        "size": (size[0], size[1]) if size else None,
        "metadata": asset.get("metadata") or {},
    }


def _box(value: Any) -> Any:
    return None if value is None else tuple(value)
