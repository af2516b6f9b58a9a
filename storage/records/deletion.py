"""Deleting assets and collections, and then the stored bytes that nothing names any more.

Bytes are stored before the row that names them is committed, so a file that nothing names may
be about to be named. Who commits such rows holds ``hold_objects`` in that transaction and looks
again whether the bytes are there; who removes files holds the lock against that.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import psycopg
from psycopg.rows import TupleRow

from sightline.storage.blobs import ObjectStore
from sightline.storage.db import row_security, sql_loader
from sightline.storage.db.pool import Connection, Database
from sightline.storage.errors import UnknownAssetError
from sightline.storage.records import collections

_SQL = sql_loader.load("assets")
_COLLECTIONS = sql_loader.load("collections")
# Any number of our own: the name of the advisory lock on the object store.
_OBJECTS_LOCK = 0x51647_0B1


@dataclass(frozen=True, slots=True)
class Deleted:
    """What is gone: assets, sources that had no other asset, and stored files."""

    assets: int
    sources: int
    objects: int


async def hold_objects(connection: Connection) -> None:
    """Keeps stored objects from being removed until the transaction ends; many may hold it."""
    await connection.execute(_SQL["lock_objects_shared"], {"key": _OBJECTS_LOCK})


def lock_objects(connection: psycopg.Connection[TupleRow]) -> None:
    """`hold_objects` for those who work without an event loop."""
    connection.execute(_SQL["lock_objects_shared"], {"key": _OBJECTS_LOCK})


async def delete_assets(database: Database, objects: ObjectStore, ids: Iterable[str]) -> Deleted:
    """Deletes assets with all that hangs on them; all of them or, where one is unknown, none.

    The users' own files stay. Raises UnknownAssetError.
    """
    wanted = list(dict.fromkeys(ids))
    async with database.connection() as connection:
        cursor = await connection.execute(
            _SQL["delete"], {"ids": [each for each in wanted if "\0" not in each]}
        )
        (row,) = await cursor.fetchall()
        gone, sources, locations = row
        missing = set(wanted) - set(gone)
        if missing:
            raise UnknownAssetError(missing)
    return Deleted(len(gone), sources, await discard_unnamed(database, objects, locations))


async def delete_collection(database: Database, objects: ObjectStore, name: str) -> Deleted:
    """Deletes a collection and everything in it. Raises UnknownNameError."""
    async with database.connection() as connection:
        collection = await collections.get(connection, name)
        key = {"id": collection.id}
        await connection.execute(_COLLECTIONS["no_time_limit"])
        rows = await (await connection.execute(_SQL["locations_of_collection"], key)).fetchall()
        counted = await (await connection.execute(_COLLECTIONS["size"], key)).fetchone()
        await connection.execute(_COLLECTIONS["delete"], key)
    removed = await discard_unnamed(database, objects, [row[0] for row in rows])
    assets, sources = counted or (0, 0)
    return Deleted(assets, sources, removed)


async def discard_unnamed(
    database: Database, objects: ObjectStore, locations: Sequence[str]
) -> int:
    """Removes those of the objects that nothing names, and returns how many; call it after the
    deletion, or the failure, is committed.
    """
    # As the server: another's collection may name the same bytes.
    with row_security.acting_for(None):
        async with database.connection() as connection:
            await connection.execute(_SQL["lock_objects"], {"key": _OBJECTS_LOCK})
            rows = await (
                await connection.execute(_SQL["unreferenced"], {"locations": list(locations)})
            ).fetchall()
            return objects.discard(row[0] for row in rows)
