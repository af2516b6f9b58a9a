"""Deletes assets, and then the stored blobs that no row references.

A blob is stored before the row that references it is committed, so an unreferenced blob may be
about to be referenced. A writer therefore holds the shared blob lock (``hold_blobs``) in the
transaction that commits such rows and checks again that the blobs exist. Deletion takes the
exclusive lock.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from sightline.storage.blobs import BlobStore
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_one, fetch_values, load_sql
from sightline.storage.db.row_locks import RowLock, lock, lock_sync
from sightline.storage.errors import LockTimeoutError, UnknownAssetError
from sightline.storage.isolation.caller import as_principal

logger = logging.getLogger(__name__)

_SQL = load_sql("assets")
_BLOB_LOCK = RowLock("blobs", "the stored files", timeout_seconds=30)


@dataclass(frozen=True, slots=True)
class DeletionResult:
    """Number of deleted assets, sources (without other assets) and blobs."""

    assets: int
    sources: int
    blobs: int


@dataclass(frozen=True, slots=True)
class _DeletedRows:
    asset_ids: list[str]
    source_count: int
    locations: list[str]


async def hold_blobs(connection: Connection) -> None:
    """Prevent the deletion of blobs until the end of the transaction (shared lock)."""
    await lock(connection, _BLOB_LOCK, shared=True)


def hold_blobs_sync(connection: psycopg.Connection[TupleRow]) -> None:
    """Do the same as ``hold_blobs`` without an event loop."""
    lock_sync(connection, _BLOB_LOCK, shared=True)


async def delete_assets(database: Database, blobs: BlobStore, ids: Iterable[str]) -> DeletionResult:
    """Delete assets with everything that depends on them, all or none.

    The users' own files stay. Raises UnknownAssetError.
    """
    wanted = list(dict.fromkeys(ids))
    params = {"ids": [each for each in wanted if "\0" not in each]}
    async with database.write_connection() as connection:
        deleted = await fetch_one(connection, _SQL["delete"], params, row=_DeletedRows)
        if deleted is None or (missing := set(wanted) - set(deleted.asset_ids)):
            raise UnknownAssetError(missing if deleted else wanted)
    removed = await discard_unreferenced_blobs(database, blobs, deleted.locations)
    return DeletionResult(len(deleted.asset_ids), deleted.source_count, removed)


async def discard_unreferenced_blobs(
    database: Database, blobs: BlobStore, locations: Sequence[str]
) -> int:
    """Delete the blobs that no row references; return how many.

    Call it after the deletion (or the failed insert) is committed. During a long backup the blobs
    stay: `sightline check --repair` deletes them.
    """
    # Without a principal: collections that it cannot see may reference the same bytes.
    with as_principal(None):
        try:
            async with database.write_connection() as connection:
                await lock(connection, _BLOB_LOCK)
                params = {"locations": list(locations)}
                return blobs.discard(
                    await fetch_values(connection, _SQL["unreferenced_locations"], params)
                )
        except LockTimeoutError:
            logger.warning(
                "a backup or an ingest uses the stored files; %d unreferenced ones stay until: "
                "sightline check --repair",
                len(locations),
            )
            return 0
