"""Embedding spaces of a re-encoding: begin, switch, switch back, drop.

A collection uses one space per level. A re-encoding fills the ``next`` ones beside them, then one
transaction makes them the used ones and keeps the others as ``previous``. Writers of the collection
take turns with each step, so that the switch misses nothing that they wrote.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection, fetch_all, fetch_value, load_sql
from sightline.storage.db.row_locks import lock
from sightline.storage.errors import InvalidArgumentError, LockTimeoutError
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import embedding_spaces
from sightline.storage.records.collections import Collection
from sightline.storage.records.deletion import collection_lock, require_collection
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.types import NAME_KINDS, Level

Role = Literal["next", "previous"]

_SQL = load_sql("reencode")
_INGEST = load_sql("ingest")
# An ingest commits a batch, or builds an index, in this time.
_WAIT_SECONDS = 3600.0
_DELETED_ROWS = 10_000
_ADDED: dict[Level, tuple[str, str]] = {
    "asset": ("added_assets", "image"),
    "region": ("added_tiles", "tiled image"),
    "passage": ("added_passages", "passage"),
}


@dataclass(frozen=True, slots=True)
class KeptSpace:
    """A space beside those that a collection uses; ``since`` is when it became that."""

    role: Role
    since: datetime
    space: EmbeddingSpace


@dataclass(frozen=True, slots=True)
class SpaceChange:
    """The encoders of one level before and after a switch."""

    level: Level
    before: EncoderIdentity
    after: EncoderIdentity


@asynccontextmanager
async def turn(database: Database, collection: Collection) -> AsyncIterator[Connection]:
    """Yield a connection whose transaction excludes other writers of the collection."""
    wait = _WAIT_SECONDS
    async with database.write_connection(acquire_timeout_seconds=wait) as connection:
        await connection.execute(_INGEST["write_settings"], {"lock_seconds": wait})
        await lock(connection, collection_lock(collection.id, collection.name, wait))
        await require_collection(connection, collection)
        yield connection


async def kept_spaces(connection: Connection, collection_id: int) -> list[KeptSpace]:
    """Return the spaces beside those that the collection uses."""

    def row(role: Role, since: datetime, id: int, level: Level, **identity: Any) -> KeptSpace:  # noqa: A002
        return KeptSpace(role, since, EmbeddingSpace(id, EncoderIdentity(**identity), level))

    return await fetch_all(connection, _SQL["kept"], {"collection_id": collection_id}, row=row)


def changed_levels(
    used: Mapping[Level, EmbeddingSpace], wanted: Mapping[Level, EncoderIdentity]
) -> dict[Level, EncoderIdentity]:
    """Return the wanted encoders of the levels that use another one."""
    return {
        level: wanted[level]
        for level, space in used.items()
        if level in wanted and space.identity != wanted[level]
    }


async def begin(
    database: Database, collection: Collection, wanted: Mapping[Level, EncoderIdentity]
) -> dict[Level, EmbeddingSpace]:
    """Return the spaces to fill by level, created if missing; none if all are used.

    Raises InvalidArgumentError if another re-encoding is unfinished, or if the collection still
    keeps the vectors of a third encoder.
    """
    while True:
        async with database.connection() as connection:
            used = await embedding_spaces.of_collection(connection, collection.id)
            kept = await kept_spaces(connection, collection.id)
        changed = changed_levels(used, wanted)
        _require_free(collection, kept, changed)
        if not changed:
            return {}
        async with database.write_connection() as connection:
            spaces = {
                level: await embedding_spaces.get_or_create(connection, identity, level)
                for level, identity in changed.items()
            }
        async with turn(database, collection) as connection:
            if not await embedding_spaces.hold(connection, spaces.values()):
                continue  # a repair dropped one in between
            kept = await kept_spaces(connection, collection.id)
            _require_free(collection, kept, changed)
            present = {each.space for each in kept}
            for space in spaces.values():
                if space not in present:
                    await _keep(connection, collection, space, "next")
        return spaces


def _require_free(
    collection: Collection, kept: Sequence[KeptSpace], changed: Mapping[Level, EncoderIdentity]
) -> None:
    for each in kept:
        space = each.space
        if changed.get(space.level) == space.identity:
            continue
        if each.role == "next":
            raise InvalidArgumentError(
                f"A re-encoding of {collection.name!r} with {space.identity} is unfinished. "
                f"Continue it with that encoder, or drop it: sightline reencode {collection.name} "
                "--cancel"
            )
        if changed:
            raise InvalidArgumentError(
                f"The collection {collection.name!r} still keeps its previous vectors, of "
                f"{space.identity}. Drop them first: sightline reencode {collection.name} "
                "--drop-old"
            )


async def switch(
    connection: Connection,
    collection: Collection,
    spaces: Mapping[Level, EmbeddingSpace],
    failed_passages: Iterable[int] = (),
) -> list[SpaceChange]:
    """Make the collection use the spaces, and keep those that it used.

    Call it in a turn. ``failed_passages`` have no vector because the encoder failed on them.
    """
    used = await embedding_spaces.of_collection(connection, collection.id)
    await _forget(connection, collection, spaces.values())
    params: dict[str, Any]
    for level, space in spaces.items():
        params = {"collection_id": collection.id, "level": level, "space_id": space.id}
        await connection.execute(_SQL["use"], params)
        await _keep(connection, collection, used[level], "previous")
    if "passage" in spaces:
        params = {
            "collection_id": collection.id,
            "name_kinds": list(NAME_KINDS),
            "failed": list(failed_passages),
        }
        statement = spaces["passage"].compose(_SQL["mark_outside_vocabulary"])
        await connection.execute(statement, params)
    return [
        SpaceChange(level, used[level].identity, space.identity) for level, space in spaces.items()
    ]


async def switch_back(database: Database, collection: Collection) -> list[SpaceChange]:
    """Make the collection use its previous spaces again, in one transaction.

    Raises InvalidArgumentError if it keeps none, or if material was added since.
    """
    async with turn(database, collection) as connection:
        used = await embedding_spaces.of_collection(connection, collection.id)
        kept = await kept_spaces(connection, collection.id)
        previous = [each for each in kept if each.role == "previous"]
        if not previous:
            raise InvalidArgumentError(f"The collection {collection.name!r} keeps no old vectors.")
        _require_free(collection, [each for each in kept if each.role == "next"], {})
        missing = [await _added(connection, collection, each) for each in previous]
        levels = {each.space.level for each in previous}
        if "region" in used and "asset" in levels and "region" not in levels:
            missing.append("all tiles")
        if lacking := [each for each in missing if each]:
            encoders = ", ".join(sorted({str(each.space.identity) for each in previous}))
            raise InvalidArgumentError(
                f"Since the switch, {' and '.join(lacking)} came to {collection.name!r}, without "
                f"vectors of {encoders}. Make them: sightline reencode {collection.name} with "
                "--encoder or --text-encoder and the name of the old encoder"
            )
        spaces = {each.space.level: each.space for each in previous}
        return await switch(connection, collection, spaces)


async def _added(connection: Connection, collection: Collection, kept: KeptSpace) -> str:
    """Return how much of a level has no vector in a previous space; "" if nothing."""
    block, noun = _ADDED[kept.space.level]
    params = {
        "collection_id": collection.id,
        "name_kinds": list(NAME_KINDS),
        "since": kept.since,
    }
    count = await fetch_value(connection, kept.space.compose(_SQL[block]), params)
    return f"{count:,} {noun}{'s' * (count > 1)}" if count else ""


async def drop(database: Database, collection: Collection, role: Role) -> list[EncoderIdentity]:
    """Drop the vectors of a role, and return their encoders.

    A kill leaves vectors that nobody uses; `sightline check --repair` drops them. Raises
    InvalidArgumentError if there are none.
    """
    async with turn(database, collection) as connection:
        kept = await kept_spaces(connection, collection.id)
        spaces = [each.space for each in kept if each.role == role]
        if not spaces:
            what = "unfinished re-encoding" if role == "next" else "old vectors"
            raise InvalidArgumentError(f"The collection {collection.name!r} has no {what}.")
        await _forget(connection, collection, spaces)
        params = {"collection_id": collection.id, "space_ids": [space.id for space in spaces]}
        await connection.execute(_SQL["delete_results"], params)
    try:
        async with database.write_connection() as connection:
            await embedding_spaces.drop_unused(connection, [space.id for space in spaces])
            left = {space.id for space in await embedding_spaces.list_spaces(connection)}
    except LockTimeoutError:
        left = {space.id for space in spaces}
    for space in spaces:
        if space.id in left:
            await _delete_vectors(database, collection, space)
    return list(dict.fromkeys(space.identity for space in spaces))


async def _delete_vectors(
    database: Database, collection: Collection, space: EmbeddingSpace
) -> None:
    """Delete the vectors of a collection from a space, in batches."""
    statement = space.compose(_SQL["delete_vectors"])
    params = {"collection_id": collection.id, "rows": _DELETED_ROWS}
    deleted = _DELETED_ROWS
    while deleted == _DELETED_ROWS:
        async with database.write_connection() as connection:
            deleted = (await connection.execute(statement, params)).rowcount


async def _keep(
    connection: Connection, collection: Collection, space: EmbeddingSpace, role: Role
) -> None:
    params = {
        "collection_id": collection.id,
        "level": space.level,
        "role": role,
        "space_id": space.id,
    }
    await connection.execute(_SQL["keep"], params)


async def _forget(
    connection: Connection, collection: Collection, spaces: Iterable[EmbeddingSpace]
) -> None:
    ids = [space.id for space in spaces]
    await connection.execute(_SQL["forget"], {"collection_id": collection.id, "space_ids": ids})
