"""From names in a run file to the keys that a search gives: which are right, and by how much."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sightline.server.evaluation.retrieval.eval_queries import Query, Relevant
from sightline.server.evaluation.run_file import Line
from sightline.storage.db.pool import Connection
from sightline.storage.errors import shown
from sightline.storage.records import assets, by_filename
from sightline.storage.records.by_filename import FiledAsset, FiledPassage
from sightline.storage.retrieval.hydrate import hydration

_NAMED_IN_ERRORS = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """A query with its place in the run file and its name in the report."""

    id: str
    line: Line
    query: Query


@dataclass(frozen=True, slots=True)
class Judged:
    """A query and the grades of what is right for it.

    Keys are ids of assets (of passages, as digits, for a search of text). A passage that should
    stand in a file and was not read there has the key of no passage: it counts as never found.
    """

    asked: Asked
    grades: dict[str, int]


async def judge(
    connection: Connection, asked: Sequence[Asked], collection: str | None
) -> list[Judged]:
    """Look up what each query should find; ``collection`` is for those that name none.

    Raises InvalidArgumentError, naming the line, for what is not there or could mean two things.
    """
    judged: dict[str, Judged] = {}
    for where in dict.fromkeys(each.query.collection or collection for each in asked):
        group = [each for each in asked if (each.query.collection or collection) == where]
        filed = await _filed(connection, group, where)
        for each in group:
            judged[each.id] = Judged(each, await _grades(connection, each, filed, where))
    return [judged[each.id] for each in asked]


@dataclass(frozen=True, slots=True)
class _Filed:
    """Everything that came from the files that are named anywhere in a run."""

    assets: dict[str, list[FiledAsset]]
    passages: dict[str, list[FiledPassage]]


async def _filed(connection: Connection, asked: Iterable[Asked], collection: str | None) -> _Filed:
    files: dict[str, set[str]] = {"images": set(), "text": set()}
    for each in asked:
        files[each.query.search] |= {r.source for r in each.query.relevant if r.source is not None}
    found = _Filed({}, {})
    for asset in await by_filename.assets_of(connection, files["images"], collection):
        found.assets.setdefault(asset.source, []).append(asset)
    for passage in await by_filename.passages_of(connection, files["text"], collection):
        found.passages.setdefault(passage.source, []).append(passage)
    return found


async def _grades(
    connection: Connection, asked: Asked, filed: _Filed, collection: str | None
) -> dict[str, int]:
    grades: dict[str, int] = {}
    for relevant in asked.query.relevant:
        for key in await _keys(connection, asked, relevant, filed, collection):
            grades[key] = max(grades.get(key, 0), relevant.grade)
    return grades


async def _keys(
    connection: Connection,
    asked: Asked,
    relevant: Relevant,
    filed: _Filed,
    collection: str | None,
) -> list[str]:
    place = "the database" if collection is None else f"the collection {shown(collection)}"
    if relevant.asset is not None:
        found = (await assets.find(connection, [relevant.asset])).get(relevant.asset)
        if found is None or collection not in (None, found.collection):
            raise asked.line.error(f"relevant: no asset {shown(relevant.asset)} in {place}")
        return [relevant.asset]
    if relevant.passage is not None:
        id_ = relevant.passage_id
        passage = (await hydration.passages(connection, [id_], ())).get(id_)
        if passage is None or collection not in (None, passage.collection):
            raise asked.line.error(f"relevant: no passage {shown(relevant.passage)} in {place}")
        return [str(id_)]
    if asked.query.search == "images":
        pictures = filed.assets[_source(asked, relevant, filed.assets, f"picture in {place}")]
        on_page = [each.id for each in pictures if relevant.page in (None, each.page)]
        if not on_page:
            raise asked.line.error(f"relevant: {relevant.source!r} has no page {relevant.page}")
        return on_page
    source = _source(asked, relevant, filed.passages, f"text in {place}")
    meant = [each for each in filed.passages[source] if _is_meant(each, relevant)]
    return [str(each.id) for each in meant] or [f"unread:{source}"]


def _source(
    asked: Asked,
    relevant: Relevant,
    filed: dict[str, list[FiledAsset]] | dict[str, list[FiledPassage]],
    what: str,
) -> str:
    """The one source whose name is, or ends in, what the run file says."""
    wanted = relevant.source or ""
    if wanted in filed:
        return wanted
    ending = [name for name in filed if name.endswith("/" + wanted.lstrip("/"))]
    if not ending:
        raise asked.line.error(f"relevant: {shown(wanted)} is the source of no {what}")
    if len(ending) > 1:
        listed = ", ".join(shown(name) for name in ending[:_NAMED_IN_ERRORS])
        raise asked.line.error(
            f"relevant: {shown(wanted)} could be any of {len(ending)} sources, {listed}; give more "
            "of its name"
        )
    return ending[0]


def _is_meant(passage: FiledPassage, relevant: Relevant) -> bool:
    return (
        relevant.page in (None, passage.page)
        and relevant.kind in (None, passage.kind)
        and (relevant.text is None or _plain(relevant.text) in _plain(passage.text))
    )


def _plain(text: str) -> str:
    """Without case, width of letters and lengths of spaces, which readers of text differ in."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())
