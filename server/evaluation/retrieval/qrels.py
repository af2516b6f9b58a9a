"""Resolve the expected results of a run file to ids with grades (qrels)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sightline.server.evaluation.retrieval.eval_queries import EvalQuery, RelevantItem
from sightline.server.evaluation.run_file import RunFileLine
from sightline.storage.db.queries import Connection
from sightline.storage.errors import shown
from sightline.storage.records import assets
from sightline.storage.records.assets import FileAsset, FilePassage
from sightline.storage.retrieval import hydration

_MAX_NAMES_IN_ERROR = 3


@dataclass(frozen=True, slots=True)
class RunQuery:
    """A query with its id in the report and its line of the run file."""

    id: str
    line: RunFileLine
    query: EvalQuery


@dataclass(frozen=True, slots=True)
class JudgedQuery:
    """A query and the grades of its expected results.

    Keys are asset ids, or passage ids as digits for a text search. An expected passage that is not
    in the index gets the key ``missing:SOURCE``, which no search returns.
    """

    run_query: RunQuery
    grades: dict[str, int]


async def load_qrels(
    connection: Connection, queries: Sequence[RunQuery], collection: str | None
) -> list[JudgedQuery]:
    """Look up the expected results; ``collection`` is for queries that name none.

    Raises InvalidArgumentError, naming the line, for an unknown or ambiguous result.
    """
    judged: dict[str, JudgedQuery] = {}
    for scope in dict.fromkeys(each.query.collection or collection for each in queries):
        group = [each for each in queries if (each.query.collection or collection) == scope]
        resolver = await _Resolver.load(connection, group, scope)
        for each in group:
            judged[each.id] = JudgedQuery(each, await resolver.grades(each))
    return [judged[each.id] for each in queries]


@dataclass(frozen=True, slots=True)
class _Resolver:
    """Assets and passages of all files named in the run, by source."""

    connection: Connection
    collection: str | None
    assets: dict[str, list[FileAsset]]
    passages: dict[str, list[FilePassage]]

    @classmethod
    async def load(
        cls, connection: Connection, queries: Iterable[RunQuery], collection: str | None
    ) -> _Resolver:
        files: dict[str, set[str]] = {"images": set(), "text": set()}
        for each in queries:
            files[each.query.search] |= {
                item.source for item in each.query.relevant if item.source is not None
            }
        found = cls(connection, collection, {}, {})
        for asset in await assets.find_by_filename(connection, files["images"], collection):
            found.assets.setdefault(asset.source, []).append(asset)
        for passage in await assets.find_passages_by_filename(
            connection, files["text"], collection
        ):
            found.passages.setdefault(passage.source, []).append(passage)
        return found

    async def grades(self, query: RunQuery) -> dict[str, int]:
        grades: dict[str, int] = {}
        for item in query.query.relevant:
            for key in await self._keys(query, item):
                grades[key] = max(grades.get(key, 0), item.grade)
        return grades

    async def _keys(self, query: RunQuery, item: RelevantItem) -> list[str]:
        if item.asset is not None:
            asset = (await assets.find(self.connection, [item.asset])).get(item.asset)
            if asset is None or self.collection not in (None, asset.collection):
                raise query.line.error(f"relevant: no asset {shown(item.asset)} in {self._scope}")
            return [item.asset]
        if item.passage is not None:
            id_ = item.passage_id
            passage = (await hydration.load_passages(self.connection, [id_])).get(id_)
            if passage is None or self.collection not in (None, passage.collection):
                raise query.line.error(
                    f"relevant: no passage {shown(item.passage)} in {self._scope}"
                )
            return [str(id_)]
        if query.query.search == "images":
            candidates = self.assets[self._source(query, item, self.assets, "image")]
            ids = [each.id for each in candidates if item.page in (None, each.page)]
            if not ids:
                raise query.line.error(f"relevant: {item.source!r} has no page {item.page}")
            return ids
        source = self._source(query, item, self.passages, "text")
        matching = [each for each in self.passages[source] if _matches(each, item)]
        return [str(each.id) for each in matching] or [f"missing:{source}"]

    def _source(
        self, query: RunQuery, item: RelevantItem, sources: Iterable[str], kind: str
    ) -> str:
        """Return the one source that has, or ends in, the name in the run file."""
        wanted = item.source or ""
        if wanted in sources:
            return wanted
        matching = [name for name in sources if name.endswith("/" + wanted.lstrip("/"))]
        if not matching:
            raise query.line.error(
                f"relevant: {shown(wanted)} is the source of no {kind} in {self._scope}"
            )
        if len(matching) > 1:
            names = ", ".join(shown(name) for name in matching[:_MAX_NAMES_IN_ERROR])
            raise query.line.error(
                f"relevant: {shown(wanted)} matches {len(matching)} sources: {names}; give a "
                "longer part of the path"
            )
        return matching[0]

    @property
    def _scope(self) -> str:
        if self.collection is None:
            return "the database"
        return f"the collection {shown(self.collection)}"


def _matches(passage: FilePassage, item: RelevantItem) -> bool:
    return (
        item.page in (None, passage.page)
        and item.kind in (None, passage.kind)
        and (item.text is None or _normalize(item.text) in _normalize(passage.text))
    )


def _normalize(text: str) -> str:
    """Ignore case, character width and white space, in which OCR engines differ."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
