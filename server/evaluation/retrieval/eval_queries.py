"""A query with what is right for it: a line of a run file with `relevant`."""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from sightline.storage.retrieval.search_types import PassageKind

_ASSET = re.compile(r"[0-9a-z]{12}")
_PASSAGE = re.compile(r"p(\d{1,18})")

Task = Literal["words", "picture", "words and picture", "passages"]


class Relevant(BaseModel):
    """What should be found, and how much it is worth.

    ``asset`` and ``passage`` are ids as results show them; ``source`` is the name of a file as it
    was given at ingest, or the end of it. A source means all its pictures (or passages), unless
    ``page``, ``kind`` or ``text`` (words that the passage holds) say which. A plain string in a run
    file is an id where it looks like one, and a source otherwise.
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
    def _of_string(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if _ASSET.fullmatch(value):
            return {"asset": value}
        return {"passage": value} if _PASSAGE.fullmatch(value) else {"source": value}

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        named = [self.asset, self.passage, self.source]
        if sum(each is not None for each in named) != 1:
            raise ValueError("give one of asset, passage and source")
        if self.source is None and (self.page or self.kind or self.text):
            raise ValueError("page, kind and text narrow a source; give source")
        return self

    @property
    def of_passages(self) -> bool:
        """Whether it can only mean a passage."""
        return bool(self.passage or self.kind or self.text)

    @property
    def passage_id(self) -> int:
        """The number of the passage that is named."""
        return int((self.passage or "p0")[1:])


class Query(BaseModel):
    """One search, and what it should find.

    ``image`` is a picture file, beside the run file or absolute, or the id of an asset.
    ``topic`` is the same for one question in several languages, so that they can be compared.
    ``groups`` are what the report splits by, such as ``{"kind": "caption"}``.
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
    relevant: Annotated[tuple[Relevant, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _asks_for_what_there_is(self) -> Self:
        if not self.query.strip() and self.image is None:
            raise ValueError("there is nothing to look for: give query, image or both")
        if self.search == "text" and (self.image is not None or not self.query.strip()):
            raise ValueError("a search for text takes a query and no image")
        wrong = [each for each in self.relevant if each.of_passages]
        if self.search == "images" and wrong:
            raise ValueError(
                f"relevant names a passage ({wrong[0].model_dump(exclude_none=True)}), and the "
                'search is for images; give "search": "text"'
            )
        if self.search == "text" and any(each.asset for each in self.relevant):
            raise ValueError("relevant names an asset, and the search is for text; give a source")
        if not any(each.grade for each in self.relevant):
            raise ValueError("relevant has no grade above 0: nothing would be right")
        return self

    @property
    def task(self) -> Task:
        """What kind of search it is: those of one kind ask the same branches."""
        if self.search == "text":
            return "passages"
        if self.image is None:
            return "words"
        return "words and picture" if self.query.strip() else "picture"
