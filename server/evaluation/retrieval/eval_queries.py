"""Run-file lines with `relevant`: a search query and its expected results."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from sightline.storage.types import PassageKind

_ASSET = re.compile(r"[0-9a-z]{12}")
_PASSAGE = re.compile(r"p(\d{1,18})")

SearchTask = Literal["text to image", "image to image", "text+image to image", "text to passage"]


class RelevantItem(BaseModel):
    """An expected result and its relevance grade.

    ``asset`` and ``passage`` are ids as in search results. ``source`` is a file name as given at
    ingest, or the end of it; it means all assets (or passages) of the file unless ``page``,
    ``kind`` or ``text`` (words of the passage) select some. A plain string is read as an id if it
    has the form of one, otherwise as a source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    asset: Annotated[str, Field(pattern=_ASSET)] | None = None
    passage: Annotated[str, Field(pattern=_PASSAGE)] | None = None
    source: Annotated[str, Field(min_length=1)] | None = None
    page: Annotated[int, Field(ge=1)] | None = None
    kind: PassageKind | None = None
    text: Annotated[str, Field(min_length=1)] | None = None
    grade: Annotated[int, Field(ge=0, le=1000)] = 1

    @model_validator(mode="before")
    @classmethod
    def _parse_string(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if _ASSET.fullmatch(value):
            return {"asset": value}
        return {"passage": value} if _PASSAGE.fullmatch(value) else {"source": value}

    @model_validator(mode="after")
    def _check(self) -> Self:
        named = [self.asset, self.passage, self.source]
        if sum(each is not None for each in named) != 1:
            raise ValueError("give exactly one of asset, passage and source")
        if self.source is None and (self.page or self.kind or self.text):
            raise ValueError("page, kind and text narrow a source; give source")
        return self

    @property
    def is_passage(self) -> bool:
        """Whether the item can only be a passage."""
        return bool(self.passage or self.kind or self.text)

    @property
    def passage_id(self) -> int:
        """The number of the named passage."""
        return int((self.passage or "p0")[1:])


class EvalQuery(BaseModel):
    """A search query with its expected results.

    ``image`` is an image file (absolute or relative to the run file) or the id of an asset.
    Translations of one question have the same ``topic``. The report groups its figures by
    ``groups``, for example ``{"kind": "caption"}``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    query: Annotated[str, Field(max_length=10_000)] = ""
    image: Annotated[str, Field(min_length=1)] | None = None
    search: Literal["images", "text"] = "images"
    collection: str | None = None
    filters: dict[str, JsonValue] | None = None
    captured_after: str | None = None
    captured_before: str | None = None
    language: Annotated[str, Field(max_length=40)] = ""
    topic: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    groups: dict[str, Annotated[str, Field(max_length=80)]] = {}
    relevant: Annotated[tuple[RelevantItem, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not self.query.strip() and self.image is None:
            raise ValueError("there is nothing to search for: give query, image or both")
        if self.search == "text" and (self.image is not None or not self.query.strip()):
            raise ValueError("a text search takes a query and no image")
        passages = [each for each in self.relevant if each.is_passage]
        if self.search == "images" and passages:
            raise ValueError(
                f"relevant names a passage ({passages[0].model_dump(exclude_none=True)}), but this "
                'is an image search; give "search": "text"'
            )
        if self.search == "text" and any(each.asset for each in self.relevant):
            raise ValueError("relevant names an asset, but this is a text search; give a source")
        if not any(each.grade for each in self.relevant):
            raise ValueError("relevant has no grade above 0")
        return self

    @property
    def task(self) -> SearchTask:
        """The kind of search. Searches of one kind use the same retrievers."""
        if self.search == "text":
            return "text to passage"
        if self.image is None:
            return "text to image"
        return "text+image to image" if self.query.strip() else "image to image"
