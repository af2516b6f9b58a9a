"""Embedding spaces: each a partition of ``embedding`` with an index of its own.

Queries name the partition's parent with literal ``space_id`` and dimension (``Space.literals``):
with bound ones Postgres plans for all partitions.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, LiteralString, get_args

from psycopg import sql
from psycopg.rows import TupleRow

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.errors import InvalidArgumentError, SpaceMismatchError
from sightline.storage.interfaces import EncoderIdentity

Grain = Literal["asset", "region", "passage"]

_SQL = sql_loader.load("spaces")
# Any number of our own: keeps these advisory locks apart from others'.
_LOCK_FAMILY = 0x51647
_ALL_SPACES = 0
_MOST_DIMENSIONS = 4000
# What a row takes of an HNSW graph in memory besides its vector.
_GRAPH_BYTES_PER_ROW = 1024
_GIB = 1024**3


@dataclass(frozen=True, slots=True)
class Space:
    """An encoder's vectors of one grain: whole assets, regions or passages."""

    id: int
    identity: EncoderIdentity
    grain: Grain

    @property
    def partition(self) -> str:
        """The name of its partition in the schema ``sightline``."""
        return f"embedding_{self.id}"

    @property
    def index(self) -> str:
        """The name of its vector index."""
        return f"embedding_{self.id}_hnsw"

    def compose(self, text: LiteralString) -> sql.Composed:
        """Fills ``{space_id}``, ``{dimension}``, ``{partition}``, ``{index}`` into a query."""
        return sql.SQL(text).format(
            space_id=sql.Literal(self.id),
            dimension=sql.Literal(self.identity.dimension),
            partition=sql.Identifier(self.partition),
            index=sql.Identifier(self.index),
            qualified=sql.Literal(f"sightline.{self.partition}"),
            dimension_check=sql.Identifier(f"{self.partition}_dimension"),
        )

    def require(self, identity: EncoderIdentity) -> None:
        """Raises SpaceMismatchError unless ``identity`` made these vectors."""
        if identity != self.identity:
            raise SpaceMismatchError(str(self.identity), str(identity))


async def get_or_create(connection: Connection, identity: EncoderIdentity, grain: Grain) -> Space:
    """The space of an encoder and grain, made with partition and index where there is none.

    Safe when several do it at once. Best in a transaction of its own: making one waits for the
    transactions that write.
    """
    if not 1 <= identity.dimension <= _MOST_DIMENSIONS:
        raise InvalidArgumentError(
            f"{identity} makes vectors of {identity.dimension} numbers; an index takes 1 to "
            f"{_MOST_DIMENSIONS}"
        )
    if grain not in get_args(Grain):
        raise InvalidArgumentError(f"{grain!r} is not a grain; there are: {get_args(Grain)}")
    values = {
        "encoder": identity.name,
        "weights": identity.weights,
        "preprocessing": identity.preprocessing,
        "dimension": identity.dimension,
        "grain": grain,
    }
    row = await (await connection.execute(_SQL["find"], values)).fetchone()
    if row is not None:
        return Space(row[0], identity, grain)
    async with connection.transaction():
        await _lock(connection, _ALL_SPACES)
        row = await (await connection.execute(_SQL["insert"], values)).fetchone()
        if row is None:
            row = await (await connection.execute(_SQL["find"], values)).fetchone()
            if row is None:
                raise InvalidArgumentError(f"the space of {identity} was deleted just now")
            return Space(row[0], identity, grain)
        space = Space(row[0], identity, grain)
        await make_partition(connection, space)
        return space


async def make_partition(connection: Connection, space: Space) -> None:
    """Makes the table for the vectors of a space that has none, and its index."""
    # Several statements: as text without parameters, which the simple protocol takes.
    await connection.execute(space.compose(_SQL["partition"]))
    await connection.execute(space.compose(_SQL["create_index"]))


async def of_collection(connection: Connection, collection_id: int, grain: Grain) -> Space | None:
    """The space that the collection uses for that grain; None where it has no such vectors."""
    row = await (
        await connection.execute(
            _SQL["of_collection"], {"collection_id": collection_id, "grain": grain}
        )
    ).fetchone()
    return None if row is None else _space(row)


async def assign(connection: Connection, collection_id: int, space: Space) -> None:
    """Makes the collection use the space.

    Raises SpaceMismatchError where it uses another for that grain already.
    """
    await connection.execute(
        _SQL["assign"],
        {"collection_id": collection_id, "grain": space.grain, "space_id": space.id},
    )
    used = await of_collection(connection, collection_id, space.grain)
    if used is not None:
        used.require(space.identity)


async def all_spaces(connection: Connection) -> list[Space]:
    """Every space, the oldest first."""
    return [_space(row) for row in await (await connection.execute(_SQL["all"])).fetchall()]


async def count(connection: Connection, space: Space) -> int:
    """The number of its vectors."""
    row = await (await connection.execute(space.compose(_SQL["count"]))).fetchone()
    return 0 if row is None else int(row[0])


async def has_index(connection: Connection, space: Space) -> bool:
    """Whether its vector index is there and usable."""
    row = await (
        await connection.execute(_SQL["index_exists"], {"index": f"sightline.{space.index}"})
    ).fetchone()
    return row is not None and bool(row[0])


async def drop_index(connection: Connection, space: Space) -> None:
    """Drops the vector index, so that a large load goes forty times as fast.

    Searches still answer, by reading all vectors, until ``ensure_index`` builds it again.
    """
    async with connection.transaction():
        await _lock(connection, space.id)
        await connection.execute(space.compose(_SQL["drop_index"]))


async def ensure_index(
    connection: Connection, space: Space, *, memory_limit_bytes: int = 2 * _GIB
) -> None:
    """Builds the vector index where it is missing; writers wait meanwhile, searches do not.

    The build takes as much memory as the graph needs, up to the limit.
    """
    async with connection.transaction():
        await _lock(connection, space.id)
        if await has_index(connection, space):
            return
        rows = await count(connection, space)
        needed = rows * (2 * space.identity.dimension + _GRAPH_BYTES_PER_ROW)
        await connection.execute(
            _SQL["build_settings"], {"kilobytes": min(needed, memory_limit_bytes) // 1024}
        )
        await connection.execute(space.compose(_SQL["drop_index"]))  # one that is not valid
        await connection.execute(space.compose(_SQL["create_index"]))
        await connection.execute(space.compose(_SQL["analyze"]))


async def _lock(connection: Connection, space_id: int) -> None:
    await connection.execute(_SQL["lock"], {"family": _LOCK_FAMILY, "space_id": space_id})


def _space(row: TupleRow) -> Space:
    identifier, encoder, weights, preprocessing, dimension, grain = row
    return Space(identifier, EncoderIdentity(encoder, weights, preprocessing, dimension), grain)
