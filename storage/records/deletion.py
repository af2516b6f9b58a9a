"""Deletes assets, sources and collections, and then unreferenced blobs.

`delete_assets` and `delete_sources` delete all or none, in one transaction. `delete_collection` can
have to delete millions of rows. One transaction would keep them locked for minutes, so it deletes
batches of whole sources, each in its own transaction, and the collection itself with the last one.
If it is interrupted, each source is still there completely or not at all, and the same call deletes
the rest.

Deletion and the writers of an ingest take turns by the lock of the collection (`collection_lock`).
A writer whose collection was deleted writes nothing.

The search log keeps its entries until they expire. Embedding spaces stay, also unused ones: the
next collection of the same encoder uses them, and dropping one would block all searches.

A blob is stored before the row that references it is committed, so an unreferenced blob may be
about to be referenced. A writer therefore holds the shared blob lock (``hold_blobs``) in the
transaction that commits such rows and checks again that the blobs exist. Deletion takes the
exclusive lock.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields

import psycopg
from psycopg.rows import TupleRow

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import (
    Connection,
    fetch_all,
    fetch_value,
    fetch_values,
    load_sql,
)
from sightline.storage.db.row_locks import RowLock, lock, lock_sync
from sightline.storage.errors import (
    LockTimeoutError,
    StorageError,
    UnknownAssetError,
)
from sightline.storage.isolation.caller import as_principal
from sightline.storage.records import collections
from sightline.storage.records.collections import Collection
from sightline.storage.records.deleted_words import DeletedWords
from sightline.storage.records.deletion_preview import (
    DeletionCounts,
    DeletionPreview,
    preview_collection,
    require_unchanged,
    sources_to_delete,
)

logger = logging.getLogger(__name__)

_SQL = load_sql("assets")
_BLOB_LOCK = RowLock("blobs", "the stored files", timeout_seconds=30)


#: How long a deletion waits for an ingest that writes to the collection.
_TURN_SECONDS = 30.0
# A lock timeout of zero would wait without an end.
_MIN_TURN_SECONDS = 0.1
# Of one transaction of `delete_collection`: a few seconds.
_BATCH_SOURCES = 1_000
_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class DeletionResult(DeletionCounts):
    """What was deleted. ``blobs`` are the stored files that nothing else used."""

    blobs: int

    def __add__(self, other: DeletionResult) -> DeletionResult:
        pairs = ((each.name, getattr(self, each.name)) for each in fields(self))
        return DeletionResult(**{name: mine + getattr(other, name) for name, mine in pairs})


@dataclass(frozen=True, slots=True)
class _AssetCollection:
    id: int
    name: str
    asset_ids: list[str]


@dataclass(frozen=True, slots=True)
class _DeletedAssets:
    asset_ids: list[str]
    source_count: int
    passage_count: int
    annotation_count: int
    locations: list[str]


@dataclass(frozen=True, slots=True)
class _DeletedSources(DeletionCounts):
    locations: list[str]


@dataclass(frozen=True, slots=True)
class _BatchSource:
    id: int
    content_key: bytes


def collection_lock(collection_id: int, name: str, timeout_seconds: float) -> RowLock:
    """Return the lock for which all writers of the rows of a collection take turns."""
    return RowLock(f"collection:{collection_id}", f"the collection {name!r}", timeout_seconds)


async def require_collection(connection: Connection, collection: Collection) -> None:
    """Raise StorageError if the collection was deleted. Call it with its lock."""
    params = {"collection_id": collection.id}
    if not await fetch_value(connection, _SQL["collection_exists"], params):
        raise StorageError(
            f"The collection {collection.name!r} was deleted in the meantime. Nothing was written. "
            "Start the ingest again to create it anew."
        )


async def hold_blobs(connection: Connection) -> None:
    """Prevent the deletion of blobs until the end of the transaction (shared lock)."""
    await lock(connection, _BLOB_LOCK, shared=True)


def hold_blobs_sync(connection: psycopg.Connection[TupleRow]) -> None:
    """Do the same as ``hold_blobs`` without an event loop."""
    lock_sync(connection, _BLOB_LOCK, shared=True)


async def delete_assets(database: Database, blobs: BlobStore, ids: Iterable[str]) -> DeletionResult:
    """Delete assets with everything that depends on them, all or none.

    The users' own files stay. A bound principal deletes only in its collections. Raises
    UnknownAssetError, and LockTimeoutError if an ingest keeps writing to a collection.
    """
    wanted = set(ids)
    params = {"ids": [each for each in wanted if "\0" not in each]}
    async with database.connection() as connection:
        query = _SQL["collections_of_assets"]
        owners = await fetch_all(connection, query, params, row=_AssetCollection)
    if missing := wanted.difference(*(each.asset_ids for each in owners)):
        raise UnknownAssetError(missing)
    # The caller may delete them; see `delete_sources`.
    with as_principal(None):
        async with database.write_connection() as connection:
            await _take_turn(connection, owners)
            deleted = await _delete_assets(connection, owners)
            if missing := wanted.difference(deleted.asset_ids):
                raise UnknownAssetError(missing)
    removed = await discard_unreferenced_blobs(database, blobs, deleted.locations)
    return DeletionResult(
        assets=len(deleted.asset_ids),
        sources=deleted.source_count,
        passages=deleted.passage_count,
        annotations=deleted.annotation_count,
        blobs=removed,
    )


async def delete_sources(
    database: Database,
    blobs: BlobStore,
    collection: str,
    *,
    names: Iterable[str] = (),
    ids: Iterable[int] = (),
    confirmed: DeletionPreview | None = None,
) -> DeletionResult:
    """Delete sources of a collection by name or id, all or none.

    A name deletes every source of that name. After a change since ``confirmed``, nothing is deleted
    (InvalidArgumentError). Everything that was made from a source is deleted: its
    assets, passages, vectors and annotations. The users' own files stay. A bound principal deletes
    only in its collections. Raises UnknownNameError for the collection, InvalidArgumentError for an
    unknown source, with similar names, and LockTimeoutError if an ingest keeps writing to the
    collection.
    """
    async with database.connection() as connection:
        target, found = await sources_to_delete(connection, collection, names, ids)
    # The caller may delete them. A principal has no right to the lock, and cannot see who else
    # uses a blob.
    with as_principal(None):
        async with database.write_connection() as connection:
            await _take_turn(connection, [target])
            source_ids = [each.id for each in found]
            await require_unchanged(connection, target, source_ids, confirmed)
            deleted = await _delete_with_words(connection, target, source_ids)
        removed = await discard_unreferenced_blobs(database, blobs, deleted.locations)
    return DeletionResult(**_counts_of(deleted), blobs=removed)


async def delete_sources_at(
    database: Database, blobs: BlobStore, collection: Collection, locations: Mapping[int, str]
) -> DeletionResult:
    """Delete the sources, given by id, that are still at these locations.

    An ingest may have found the file at another place in the meantime. Raises LockTimeoutError
    if an ingest keeps writing to the collection.
    """
    params = {
        "collection_id": collection.id,
        "ids": list(locations),
        "locations": list(locations.values()),
    }
    async with database.write_connection() as connection:
        await _take_turn(connection, [collection])
        source_ids = await fetch_values(connection, _SQL["sources_at"], params)
        deleted = await _delete_with_words(connection, collection, source_ids)
    removed = await discard_unreferenced_blobs(database, blobs, deleted.locations)
    return DeletionResult(**_counts_of(deleted), blobs=removed)


async def delete_collection(
    database: Database,
    blobs: BlobStore,
    name: str,
    *,
    confirmed: DeletionPreview | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> DeletionResult:
    """Delete a collection with its content and the bindings to it.

    Works in batches (see the module). After a change since ``confirmed``, nothing is deleted
    (InvalidArgumentError). ``progress`` is called after each batch with the number of
    deleted sources and of all. The users' own files stay. A bound principal deletes only its
    collections. Raises UnknownNameError, and LockTimeoutError if an ingest keeps writing to the
    collection.
    """
    preview = await preview_collection(database, name)
    async with database.connection() as connection:
        target = await collections.get(connection, name)
    totals = dict.fromkeys(("assets", "sources", "passages", "annotations"), 0)
    removed, after, blobs_busy = 0, b"", False
    with as_principal(None):
        while True:
            try:
                async with database.write_connection() as connection:
                    await _take_turn(connection, [target])
                    await require_unchanged(connection, target, None, confirmed)
                    confirmed = None
                    batch = await _next_batch(connection, target, after)
                    if not batch and not after:
                        params = {"collection_id": target.id}
                        await connection.execute(_SQL["delete_collection"], params)
                        break
                    deleted = await _delete(connection, target, [each.id for each in batch])
            except LockTimeoutError as error:
                if totals["sources"]:
                    raise _interrupted(target, totals["sources"]) from error
                raise
            # An ingest may have added sources before this key: at the end, look from the start.
            after = batch[-1].content_key if batch else b""
            for key, count in _counts_of(deleted).items():
                totals[key] += count
            if deleted.locations and not blobs_busy:
                count, blobs_busy = await _discard(database, blobs, deleted.locations)
                removed += count
            progress(totals["sources"], max(preview.sources, totals["sources"]))
    return DeletionResult(**totals, blobs=removed)


async def discard_unreferenced_blobs(
    database: Database, blobs: BlobStore, locations: Sequence[str]
) -> int:
    """Delete the blobs that no row references; return how many.

    Call it after the deletion (or the failed insert) is committed. During a long backup the blobs
    stay: `sightline check --repair` deletes them.
    """
    removed, _ = await _discard(database, blobs, locations)
    return removed


async def _discard(
    database: Database, blobs: BlobStore, locations: Sequence[str]
) -> tuple[int, bool]:
    """Return how many blobs were deleted, and whether they were in use and stay."""
    # Without a principal: collections that it cannot see may reference the same bytes.
    with as_principal(None):
        try:
            async with database.write_connection() as connection:
                await lock(connection, _BLOB_LOCK)
                params = {"locations": list(locations)}
                unused = await fetch_values(connection, _SQL["unreferenced_locations"], params)
                return blobs.discard(unused), False
        except LockTimeoutError:
            logger.warning(
                "a backup or an ingest uses the stored files; %d unreferenced ones stay until: "
                "sightline check --repair",
                len(locations),
            )
            return 0, True


async def _take_turn(
    connection: Connection, owners: Sequence[Collection | _AssetCollection]
) -> None:
    """Lock collections, in the order of their ids, all within the time of one turn."""
    deadline = time.monotonic() + _TURN_SECONDS
    for each in sorted(owners, key=lambda owner: owner.id):
        seconds = max(_MIN_TURN_SECONDS, deadline - time.monotonic())
        await lock(connection, collection_lock(each.id, each.name, seconds))
    # One source can have a million rows. Its deletion blocks nobody who searches.
    await connection.execute(_SQL["no_statement_timeout"])


async def _delete_assets(
    connection: Connection, owners: Sequence[_AssetCollection]
) -> _DeletedAssets:
    """Delete assets, and the sources of which no asset remains."""
    ids = [id_ for each in owners for id_ in each.asset_ids]
    params = {"ids": ids, "collections": [each.id for each in owners]}
    emptied = await fetch_values(connection, _SQL["emptied_sources"], params)
    words = DeletedWords()
    await words.collect(connection, sources=emptied, assets=ids)
    params["emptied"] = emptied
    (deleted,) = await fetch_all(connection, _SQL["delete"], params, row=_DeletedAssets)
    await words.forget(connection)
    return deleted


async def _next_batch(
    connection: Connection, collection: Collection, after: bytes
) -> list[_BatchSource]:
    params = {
        "collection_id": collection.id,
        "after": after,
        "max_sources": _BATCH_SOURCES,
        "max_rows": _BATCH_ROWS,
    }
    return await fetch_all(connection, _SQL["deletion_batch"], params, row=_BatchSource)


async def _delete_with_words(
    connection: Connection, collection: Collection, ids: list[int]
) -> _DeletedSources:
    words = DeletedWords()
    await words.collect(connection, sources=ids)
    deleted = await _delete(connection, collection, ids)
    await words.forget(connection)
    return deleted


async def _delete(
    connection: Connection, collection: Collection, ids: list[int]
) -> _DeletedSources:
    params = {"collection_id": collection.id, "ids": ids}
    (deleted,) = await fetch_all(connection, _SQL["delete_sources"], params, row=_DeletedSources)
    return deleted


def _counts_of(counts: DeletionCounts) -> dict[str, int]:
    return {field.name: getattr(counts, field.name) for field in fields(DeletionCounts)}


def _interrupted(collection: Collection, source_count: int) -> LockTimeoutError:
    return LockTimeoutError(
        f"Another operation, such as an ingest, kept the collection {collection.name!r} locked. "
        f"{source_count:,} sources were deleted. Try again to delete the rest."
    )
