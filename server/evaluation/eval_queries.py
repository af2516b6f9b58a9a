"""Run-file lines with `relevant`: a search query and its expected results.

`load_qrels` resolves the expected results to ids with grades (qrels).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from sightline.server.evaluation.run_file import RunFileLine, matching_sources
from sightline.storage.db.queries import Connection
from sightline.storage.errors import shown
from sightline.storage.records import assets
from sightline.storage.records.assets import FileAsset, FilePassage
from sightline.storage.retrieval.hydrate import hydration
from sightline.storage.types import ASSET_ID, PassageKind
from sightline.storage.unicode_forms import normalize_form

_PASSAGE = re.compile(r"p(\d{1,18})")
_MAX_NAMES_IN_ERROR = 3

Grades = dict[str, int]
"""Grades by key: an asset id, or a passage id as digits for a text search.

An expected passage that is not in the index gets the key ``missing:SOURCE``, which no search
returns.
"""

SearchTask = Literal["text to image", "image to image", "text+image to image", "text to passage"]


class RelevantItem(BaseModel):
    """An expected result and its relevance grade.

    ``asset`` and ``passage`` are ids as in search results. ``source`` is a file name as given at
    ingest, or the end of it; it means all assets (or passages) of the file unless ``page``,
    ``kind`` or ``text`` (words of the passage) select some. A plain string is read as an id if it
    has the form of one, otherwise as a source.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    asset: Annotated[str, Field(pattern=ASSET_ID)] | None = None
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
        if ASSET_ID.fullmatch(value):
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


@dataclass(frozen=True, slots=True)
class RunQuery:
    """A query with its id in the report and its line of the run file."""

    id: str
    line: RunFileLine
    query: EvalQuery

    @property
    def topic(self) -> str:
        """The topic; translations of one question share it."""
        return self.query.topic or f"query {self.id}"


async def load_qrels(
    connection: Connection, queries: Sequence[RunQuery], collection: str | None
) -> dict[str, Grades]:
    """Return the grades by query id; ``collection`` is for queries that name none.

    Raises InvalidArgumentError, naming the line, for an unknown or ambiguous result.
    """
    qrels: dict[str, Grades] = {}
    for scope in dict.fromkeys(each.query.collection or collection for each in queries):
        group = [each for each in queries if (each.query.collection or collection) == scope]
        resolver = await _Resolver.load(connection, group, scope)
        for each in group:
            qrels[each.id] = await resolver.grades(each)
    return qrels


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Assets and passages of all files named in the run, by search and source."""

    connection: Connection
    collection: str | None
    files: dict[str, dict[str, list[FileAsset | FilePassage]]]

    @classmethod
    async def load(
        cls, connection: Connection, queries: Iterable[RunQuery], collection: str | None
    ) -> _Resolver:
        names: dict[str, set[str]] = {"images": set(), "text": set()}
        for each in queries:
            names[each.query.search] |= {item.source for item in each.query.relevant if item.source}
        found = cls(connection, collection, {"images": {}, "text": {}})
        for asset in await assets.find_by_filename(connection, names["images"], collection):
            found.files["images"].setdefault(asset.source, []).append(asset)
        passages = await assets.find_passages_by_filename(connection, names["text"], collection)
        for passage in passages:
            found.files["text"].setdefault(passage.source, []).append(passage)
        return found

    async def grades(self, query: RunQuery) -> Grades:
        grades: Grades = {}
        for item in query.query.relevant:
            if item.source is None:
                keys = [await self._id(query, item)]
            else:
                keys = self._keys_of_source(query, item, item.source)
            for key in keys:
                grades[key] = max(grades.get(key, 0), item.grade)
        return grades

    async def _id(self, query: RunQuery, item: RelevantItem) -> str:
        if item.asset is not None:
            key = item.asset
            asset = (await assets.find(self.connection, [key])).get(key)
            found = None if asset is None else asset.collection
        else:
            key = (item.passage or "").removeprefix("p")
            passages = await hydration.load_passages(self.connection, [int(key)])
            found = passages[int(key)].collection if passages else None
        if found is None or self.collection not in (None, found):
            kind = "asset" if item.asset else "passage"
            name = shown(item.asset or item.passage)
            raise query.line.error(f"relevant: no {kind} {name} in {self._scope}")
        return key

    def _keys_of_source(self, query: RunQuery, item: RelevantItem, name: str) -> list[str]:
        files = self.files[query.query.search]
        is_text = query.query.search == "text"
        sources = matching_sources(name, files)
        if not sources:
            kind = "text" if is_text else "image"
            raise query.line.error(
                f"relevant: {shown(name)} is the source of no {kind} in {self._scope}"
            )
        if len(sources) > 1:
            names = ", ".join(map(shown, sources[:_MAX_NAMES_IN_ERROR]))
            raise query.line.error(
                f"relevant: {shown(name)} matches {len(sources)} sources: {names}; give a longer "
                "part of the path"
            )
        keys = [str(each.id) for each in files[sources[0]] if _matches(each, item)]
        if not keys and not is_text:
            raise query.line.error(f"relevant: {name!r} has no page {item.page}")
        return keys or [f"missing:{sources[0]}"]

    @property
    def _scope(self) -> str:
        return (
            "the database"
            if self.collection is None
            else f"the collection {shown(self.collection)}"
        )


def _matches(record: FileAsset | FilePassage, item: RelevantItem) -> bool:
    if item.page not in (None, record.page):
        return False
    return isinstance(record, FileAsset) or (
        item.kind in (None, record.kind) and _normalize(item.text or "") in _normalize(record.text)
    )


def _normalize(text: str) -> str:
    """Ignore case, character width and white space, in which OCR engines differ."""
    return " ".join(normalize_form("NFKC", text).casefold().split())
