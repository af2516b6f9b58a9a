"""Replies of tools: their JSON, their images, and their hits in plain values."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from sightline.storage.errors import SightlineError
from sightline.storage.retrieval.hydrate.search_hit import SearchHit
from sightline.storage.retrieval.search_types import SearchReport, SearchResults
from sightline.storage.types import Box

if TYPE_CHECKING:
    from mcp.types import CallToolResult


PartT = TypeVar("PartT", bound="_Part")
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

    Raises ToolCallError with the text of the tool if the call failed, or with what is malformed.
    """
    texts = [block.text for block in result.content if block.type == "text"]
    if result.is_error:
        raise ToolCallError("\n".join(texts) or f"{tool} failed without a message.")
    try:
        data = from_json(texts[0], allow_inf_nan=False) if texts else None
    except ValueError as error:
        raise ToolCallError(f"The reply of {tool} is no JSON: {error}. {_HINT}") from error
    if not isinstance(data, dict):
        raise ToolCallError(f"The reply of {tool} is no JSON object. {_HINT}")
    try:
        images = [
            base64.b64decode(each.data, validate=True)
            for each in result.content
            if each.type == "image"
        ]
    except ValueError as error:
        problem = f"The reply of {tool} has an image that is not base64: {error}."
        raise ToolCallError(f"{problem} {_HINT}") from error
    return ToolReply(data, images)


def image_page(data: Mapping[str, Any]) -> HitPage:
    """Return the hits of ``search_images``. Raises ToolCallError for other JSON."""
    page = _validated("search_images", _ImagePage, data)
    return _page(page, [_image_hit(hit, page.collection) for hit in page.hits])


def text_page(data: Mapping[str, Any]) -> HitPage:
    """Return the hits of ``search_text``. Raises ToolCallError for other JSON."""
    page = _validated("search_text", _TextPage, data)
    return _page(page, [_text_hit(hit, page.collection) for hit in page.hits])


def collection_list(data: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return what ``list_collections`` lists. Raises ToolCallError for other JSON."""
    return _validated("list_collections", _Collections, data).collections


def first_image(tool: str, reply: ToolReply) -> bytes:
    """Return the first image of a reply. Raises ToolCallError if there is none."""
    if not reply.images:
        raise ToolCallError(f"The reply of {tool} has no image. {_HINT}")
    return reply.images[0]


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


class _Part(BaseModel):
    """A part of a reply. Fields that this version does not know are ignored."""

    model_config = ConfigDict(allow_inf_nan=False)


class _Collections(_Part):
    collections: list[dict[str, Any]]


class _Passage(_Part):
    text: str | None = None
    kind: str | None = None
    passage: str | None = None
    box: Box | None = None


class _Picture(_Part):
    """The fields of a picture in both searches."""

    asset: str | None = None
    page: int | None = None
    captured_at: str | None = None
    caption: str | None = None
    size: tuple[int, int] | None = None
    metadata: dict[str, Any] | None = None

    def fields(self) -> dict[str, Any]:
        return {
            "asset": self.asset,
            "captured_at": self.captured_at,
            "caption": self.caption,
            "size": self.size,
            "metadata": self.metadata or {},
        }


class _Hit(_Part):
    score: float = 0.0  # a listing has none
    source: str
    collection: str | None = None
    page: int | None = None
    weak: bool | None = None
    distance: float | None = None
    box: Box | None = None

    def common_fields(self, collection: str | None) -> dict[str, Any]:
        return {
            "score": self.score,
            "source": self.source,
            "collection": self.collection or collection or "",
            "weak": bool(self.weak),
            "distance": self.distance,
        }


class _ImageHit(_Hit, _Picture):
    asset: str
    kind: str | None = None
    seconds: float | None = None
    text: _Passage | None = None
    duplicates: list[str] | None = None


class _Image(_Picture):
    seconds: float | None = None


class _TextHit(_Hit):
    passage: str
    text: str
    kind: str
    asset: str | None = None
    seconds: list[float | None] | None = None
    image: _Image | None = None


class _Page(_Part):
    collection: str | None = None
    notes: list[str] | None = None
    next_cursor: str | None = None
    total: int | None = None
    timings_ms: dict[str, float] | None = None
    reranked: bool | None = None


class _ImagePage(_Page):
    hits: list[_ImageHit]


class _TextPage(_Page):
    hits: list[_TextHit]


def _validated(tool: str, kind: type[PartT], data: Mapping[str, Any]) -> PartT:
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        problem = f"The reply of {tool} is malformed: {first_problem(error)}."
        raise ToolCallError(f"{problem} {_HINT}") from error


def first_problem(error: ValidationError) -> str:
    """Return the place and the text of the first problem."""
    first = error.errors(include_url=False, include_input=False, include_context=False)[0]
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"


def _page(page: _Page, hits: list[SearchHit]) -> HitPage:
    return HitPage(
        hits=hits,
        notes=page.notes or [],
        next_cursor=page.next_cursor,
        total=page.total,
        timings_ms=page.timings_ms or {},
        reranked=bool(page.reranked),
    )


def _image_hit(hit: _ImageHit, collection: str | None) -> SearchHit:
    passage = hit.text or _Passage()
    texts = (hit.caption, passage.text)
    return SearchHit(
        id=hit.asset,
        text="\n".join(filter(None, dict.fromkeys(texts))),
        kind=hit.kind or "image",
        page=hit.page,
        seconds=hit.seconds,
        box=hit.box or passage.box,
        passage=None if passage.kind == "caption" else passage.passage,
        duplicates=tuple(hit.duplicates or ()),
        **hit.common_fields(collection),
        **hit.fields(),
    )


def _text_hit(hit: _TextHit, collection: str | None) -> SearchHit:
    image = hit.image or _Image()
    start, end, *_ = [*(hit.seconds or [image.seconds]), None, None]
    return SearchHit(
        id=hit.passage,
        text=hit.text,
        kind=hit.kind,
        page=hit.page or image.page,
        seconds=start,
        end_seconds=end,
        box=hit.box,
        passage=hit.passage,
        **hit.common_fields(collection),
        **(image.fields() | {"asset": hit.asset}),
    )
