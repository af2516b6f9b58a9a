"""What a deletion would delete: its sources, the counts, and whether they changed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.errors import InvalidArgumentError, choices
from sightline.storage.records import collections
from sightline.storage.records.collections import Collection
from sightline.storage.records.source_text import similar_names

_SQL = load_sql("assets")
# For the message about unknown sources.
_MAX_UNKNOWN_NAMES = 3


@dataclass(frozen=True, slots=True)
class DeletionCounts:
    """What a deletion deletes. Passages are counted without those of file names."""

    assets: int
    sources: int
    passages: int
    annotations: int


@dataclass(frozen=True, slots=True)
class DeletionPreview(DeletionCounts):
    """What would be deleted; ``names`` are those of the given sources.

    ``content`` changes with what would be deleted, also if its counts stay the same.
    """

    collection: str
    names: tuple[str, ...] = ()
    content: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class _CountedContent(DeletionCounts):
    content: str


@dataclass(frozen=True, slots=True)
class NamedSource:
    """A source to delete."""

    id: int
    name: str


async def preview_sources(
    database: Database, collection: str, *, names: Iterable[str] = (), ids: Iterable[int] = ()
) -> DeletionPreview:
    """Return what `delete_sources` with these arguments would delete; deletes nothing.

    Raises the same errors.
    """
    async with database.connection() as connection:
        target, found = await sources_to_delete(connection, collection, names, ids)
        counted = await _count(connection, target, [each.id for each in found])
    listed = tuple(sorted({each.name for each in found}))
    return DeletionPreview(**asdict(counted), collection=target.name, names=listed)


async def preview_collection(database: Database, name: str) -> DeletionPreview:
    """Return what `delete_collection` would delete. Raises UnknownNameError."""
    async with database.connection() as connection:
        target = await collections.get(connection, name)
        counted = await _count(connection, target, None)
    return DeletionPreview(**asdict(counted), collection=target.name)


async def require_unchanged(
    connection: Connection,
    collection: Collection,
    ids: list[int] | None,
    confirmed: DeletionPreview | None,
) -> None:
    """Raise InvalidArgumentError if the content changed. Call it with the lock."""
    if confirmed is None:
        return
    counted = await _count(connection, collection, ids)
    if counted.content != confirmed.content:
        raise InvalidArgumentError(
            f"The collection {collection.name!r} changed after its content was counted. Nothing "
            "was deleted. Call without `confirm` to see what would be deleted now."
        )


async def sources_to_delete(
    connection: Connection, collection: str, names: Iterable[str], ids: Iterable[int]
) -> tuple[Collection, list[NamedSource]]:
    """Return the collection and the sources. Raises InvalidArgumentError."""
    target = await collections.get(connection, collection)
    wanted_names, wanted_ids = set(names), set(ids)
    params = {
        "collection_id": target.id,
        "names": [each for each in wanted_names if "\0" not in each],
        "ids": list(wanted_ids),
    }
    found = await fetch_all(connection, _SQL["sources_to_delete"], params, row=NamedSource)
    unknown_names = sorted(wanted_names - {each.name for each in found})
    unknown_ids = wanted_ids - {each.id for each in found}
    if unknown_names:
        raise InvalidArgumentError(
            f"Unknown source {choices(unknown_names)} in the collection {target.name!r}. "
            f"{await _known_names(connection, target, unknown_names)}"
        )
    if unknown_ids:
        raise InvalidArgumentError(
            f"Unknown source id {choices(map(str, unknown_ids))} in the collection "
            f"{target.name!r}. The source may have been deleted."
        )
    if not found:
        raise InvalidArgumentError("No source to delete. Give names or ids of sources.")
    return target, found


async def _known_names(
    connection: Connection, collection: Collection, unknown: Sequence[str]
) -> str:
    """Return a sentence with names of sources, best those like the unknown."""
    known: list[str] = []
    for name in unknown[:_MAX_UNKNOWN_NAMES]:
        known += await similar_names(connection, name, collection.name)
    return f"Its sources include {choices(set(known))}." if known else "It has no sources."


async def _count(
    connection: Connection, collection: Collection, ids: list[int] | None
) -> _CountedContent:
    params = {"collection_id": collection.id, "ids": ids}
    (counted,) = await fetch_all(connection, _SQL["count_sources"], params, row=_CountedContent)
    return counted
