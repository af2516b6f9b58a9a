"""Deletes assets, and then the stored blobs that no row references.

A blob is stored before the row that references it is committed, so an unreferenced blob may be
about to be referenced. A writer therefore holds the shared blob lock (``hold_blobs``) in the
transaction that commits such rows and checks again that the blobs exist. Deletion takes the
exclusive lock.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from sightline.storage.blobs import BlobStore
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_one, fetch_values, load_sql
from sightline.storage.errors import UnknownAssetError

_SQL = load_sql("assets")
# Arbitrary key of the advisory lock on the blob store.
_BLOB_LOCK = {"key": 0x51647_0B1}


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
    await connection.execute(_SQL["lock_blobs_shared"], _BLOB_LOCK)


def hold_blobs_sync(connection: psycopg.Connection[TupleRow]) -> None:
    """Do the same as ``hold_blobs`` without an event loop."""
    connection.execute(_SQL["lock_blobs_shared"], _BLOB_LOCK)


async def delete_assets(database: Database, blobs: BlobStore, ids: Iterable[str]) -> DeletionResult:
    """Delete assets with everything that depends on them, all or none.

    The users' own files stay. Raises UnknownAssetError.
    """
    wanted = list(dict.fromkeys(ids))
    params = {"ids": [each for each in wanted if "\0" not in each]}
    async with database.connection() as connection:
        deleted = await fetch_one(connection, _SQL["delete"], params, row=_DeletedRows)
        if deleted is None or (missing := set(wanted) - set(deleted.asset_ids)):
            raise UnknownAssetError(missing if deleted else wanted)
    removed = await discard_unreferenced_blobs(database, blobs, deleted.locations)
    return DeletionResult(len(deleted.asset_ids), deleted.source_count, removed)


async def discard_unreferenced_blobs(
    database: Database, blobs: BlobStore, locations: Sequence[str]
) -> int:
    """Delete the blobs that no row references; return how many.

    Call it after the deletion (or the failed insert) is committed.
    """
    # Without a principal: collections that it cannot see may reference the same bytes.
    with row_security.as_principal(None):
        async with database.connection() as connection:
            await connection.execute(_SQL["lock_blobs"], _BLOB_LOCK)
            params = {"locations": list(locations)}
            return blobs.discard(
                await fetch_values(connection, _SQL["unreferenced_locations"], params)
            )
