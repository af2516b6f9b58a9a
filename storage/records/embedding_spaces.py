"""Embedding spaces: each is a partition of ``embedding`` with a vector index.

Queries contain the partition and the dimension as literals (``EmbeddingSpace.compose``): with bound
values Postgres would plan for all partitions.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, LiteralString

from psycopg import sql

from sightline.storage.db.queries import (
    Connection,
    fetch_all,
    fetch_one,
    fetch_value,
    fetch_values,
    load_sql,
)
from sightline.storage.db.row_locks import RowLock, lock
from sightline.storage.errors import InvalidArgumentError, SpaceMismatchError, StorageError
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.types import Level

_SQL = load_sql("embedding_spaces")
_ALL_SPACES = RowLock("embedding_spaces", "the embedding spaces", timeout_seconds=30)
_MAX_DIMENSION = 4000
# Memory that an HNSW graph needs per row in addition to the vector.
_GRAPH_BYTES_PER_ROW = 1024
_MAX_BUILD_BYTES = 2 * 1024**3


@dataclass(frozen=True, slots=True)
class EmbeddingSpace:
    """Vectors of one encoder at one level."""

    id: int
    identity: EncoderIdentity
    level: Level

    @property
    def partition(self) -> str:
        """Return the name of the partition in the schema ``sightline``."""
        return f"embedding_{self.id}"

    @property
    def index(self) -> str:
        """Return the name of the vector index."""
        return f"{self.partition}_hnsw"

    def compose(self, text: LiteralString, **parts: sql.Composable) -> sql.Composed:
        """Fill the names and numbers of this space, and ``parts``, into a query."""
        return sql.SQL(text).format(
            embedding_space_id=self.id,
            dimension=self.identity.dimension,
            partition=sql.Identifier(self.partition),
            index=sql.Identifier(self.index),
            qualified=f"sightline.{self.partition}",
            dimension_check=sql.Identifier(f"{self.partition}_dimension"),
            **parts,
        )

    def require(self, identity: EncoderIdentity) -> None:
        """Raise SpaceMismatchError unless ``identity`` made these vectors."""
        if identity != self.identity:
            raise SpaceMismatchError(str(self.identity), str(identity))


async def get_or_create(
    connection: Connection, identity: EncoderIdentity, level: Level
) -> EmbeddingSpace:
    """Return the space of an encoder at a level; create it with its index if missing.

    Safe for concurrent callers. Use a separate transaction: creation waits for all transactions
    that write vectors.
    """
    if not 1 <= identity.dimension <= _MAX_DIMENSION:
        raise InvalidArgumentError(
            f"{identity} makes vectors of {identity.dimension} dimensions. An index supports 1 to "
            f"{_MAX_DIMENSION}."
        )
    space = await find(connection, identity, level)
    if space is None:
        async with connection.transaction():
            await lock(connection, _ALL_SPACES)
            await connection.execute(_SQL["creation_settings"])
            space = await find(connection, identity, level)
            if space is None:
                params = {**asdict(identity), "level": level}
                space_id = await fetch_value(connection, _SQL["insert"], params)
                space = EmbeddingSpace(space_id, identity, level)
                await create_partition(connection, space)
    return space


async def find(
    connection: Connection, identity: EncoderIdentity, level: Level
) -> EmbeddingSpace | None:
    """Return the space of an encoder at a level, or None if there is none."""
    params = {**asdict(identity), "level": level}
    space_id = await fetch_value(connection, _SQL["find"], params)
    return None if space_id is None else EmbeddingSpace(space_id, identity, level)


async def create_partition(connection: Connection, space: EmbeddingSpace) -> None:
    """Create the partition of a space and its index."""
    # Several statements need the simple protocol: text without parameters.
    await connection.execute(space.compose(_SQL["create_partition"]))
    await connection.execute(space.compose(_SQL["create_index"]))


async def find_for_collection(
    connection: Connection, collection_id: int, level: Level
) -> EmbeddingSpace | None:
    """Return the space of a collection at a level, or None if it has no such vectors."""
    params = {"collection_id": collection_id, "level": level}
    return await fetch_one(connection, _SQL["find_for_collection"], params, row=_to_space)


async def of_collections(
    connection: Connection, collection_ids: Sequence[int]
) -> dict[int, EmbeddingSpace]:
    """Return the space of whole images by collection id."""
    params = {"collections": list(collection_ids)}
    rows: list[dict[str, Any]] = await fetch_all(
        connection, _SQL["of_collections"], params, row=dict
    )
    return {row.pop("collection_id"): _to_space(**row) for row in rows}


async def of_collection(connection: Connection, collection_id: int) -> dict[Level, EmbeddingSpace]:
    """Return the spaces that a collection uses, by level."""
    params = {"collection_id": collection_id}
    found = await fetch_all(connection, _SQL["of_collection"], params, row=_to_space)
    return {space.level: space for space in found}


async def hold(connection: Connection, spaces: Iterable[EmbeddingSpace]) -> bool:
    """Keep spaces from being dropped until the end of the transaction.

    Returns False if one was dropped already.
    """
    ids = {space.id for space in spaces}
    return ids == {*await fetch_values(connection, _SQL["hold"], {"ids": list(ids)})}


async def drop_unused(connection: Connection, ids: Sequence[int] | None = None) -> int:
    """Drop spaces that no collection uses or keeps; return how many.

    ``ids`` restricts them. Raises LockTimeoutError if a session keeps reading or writing vectors:
    searches would queue behind a longer wait.
    """
    async with connection.transaction():
        await lock(connection, _ALL_SPACES)
        await connection.execute(_SQL["drop_settings"])
        params: dict[str, Any] = {"ids": None if ids is None else list(ids)}
        await fetch_all(connection, _SQL["unused"], params, row=_to_space)
        # Again: a collection may have begun to use one before it was locked.
        unused = await fetch_all(connection, _SQL["unused"], params, row=_to_space)
        for space in unused:
            await connection.execute(space.compose(_SQL["drop_partition"]))
            await connection.execute(_SQL["delete"], {"id": space.id})
    return len(unused)


async def assign(connection: Connection, collection_id: int, space: EmbeddingSpace) -> None:
    """Make a collection use the space.

    Raises SpaceMismatchError if it uses another space at that level.
    """
    params = {"collection_id": collection_id, "level": space.level, "embedding_space_id": space.id}
    await connection.execute(_SQL["assign"], params)
    used = await find_for_collection(connection, collection_id, space.level)
    if used is not None:
        used.require(space.identity)


async def require_used(
    connection: Connection, collection_id: int, name: str, spaces: Iterable[EmbeddingSpace | None]
) -> None:
    """Raise StorageError if a collection uses others by now. Call it with its lock."""
    used = await of_collection(connection, collection_id)
    for space in spaces:
        if space is not None and (now := used.get(space.level, space)) != space:
            raise StorageError(
                f"The collection {name!r} was re-encoded with {now.identity} in the meantime. What "
                "was written before is kept. Start the ingest again with this encoder."
            )


async def list_spaces(connection: Connection) -> list[EmbeddingSpace]:
    """Return all spaces, oldest first."""
    return await fetch_all(connection, _SQL["list"], row=_to_space)


def _to_space(id: int, level: Level, **identity: Any) -> EmbeddingSpace:  # noqa: A002
    return EmbeddingSpace(id, EncoderIdentity(**identity), level)


async def count_vectors(connection: Connection, space: EmbeddingSpace) -> int:
    """Return the number of vectors of a space."""
    return int(await fetch_value(connection, space.compose(_SQL["count_vectors"])))


async def has_index(connection: Connection, space: EmbeddingSpace) -> bool:
    """Return whether the vector index exists and is valid."""
    params = {"index": f"sightline.{space.index}"}
    return bool(await fetch_value(connection, _SQL["index_exists"], params))


async def drop_index(connection: Connection, space: EmbeddingSpace) -> None:
    """Drop the vector index; a large load is then about forty times faster.

    Until ``ensure_index`` builds it again, searches read all vectors. Raises LockTimeoutError if
    another process builds it, or if a session keeps reading the vectors: searches would queue
    behind a longer wait.
    """
    async with connection.transaction():
        await lock(connection, _index_lock(space))
        await connection.execute(_SQL["drop_settings"])
        await connection.execute(space.compose(_SQL["drop_index"]))


async def ensure_index(connection: Connection, space: EmbeddingSpace) -> None:
    """Build the vector index if it is missing. Writers wait, searches do not.

    The build uses as much memory as the graph needs, at most 2 GiB. Raises LockTimeoutError if
    another process is building it.
    """
    async with connection.transaction():
        await lock(connection, _index_lock(space))
        if await has_index(connection, space):
            return
        rows = await count_vectors(connection, space)
        needed_bytes = rows * (2 * space.identity.dimension + _GRAPH_BYTES_PER_ROW)
        kilobytes = min(needed_bytes, _MAX_BUILD_BYTES) // 1024
        await connection.execute(_SQL["drop_settings"])
        await connection.execute(space.compose(_SQL["drop_index"]))  # may be invalid
        await connection.execute(_SQL["build_settings"], {"kilobytes": kilobytes})
        await connection.execute(space.compose(_SQL["create_index"]))
        await connection.execute(space.compose(_SQL["analyze"]))


def _index_lock(space: EmbeddingSpace) -> RowLock:
    return RowLock(f"embedding_space:{space.id}", "the vector index", timeout_seconds=10)
