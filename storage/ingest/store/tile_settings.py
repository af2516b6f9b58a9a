"""Whether the pictures of a collection are also searched by their parts: its setting ``tiles``."""

from __future__ import annotations

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Database
from sightline.storage.errors import ConfigurationError, shown
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import embedding_spaces
from sightline.storage.records.collections import Collection
from sightline.storage.records.embedding_spaces import EmbeddingSpace

SETTING = "tiles"

_SQL = sql_loader.load("ingest")


async def space_of_tiles(
    database: Database, collection: Collection, identity: EncoderIdentity
) -> EmbeddingSpace | None:
    """Where the vectors of tiles go; None where the collection wants none.

    What there is of tiles is forgotten where the setting was switched off, so that no search finds
    parts of some pictures and not of others. Raises ConfigurationError for what is no setting and
    SpaceMismatchError where the tiles that there are were encoded by another encoder.
    """
    wanted = collection.settings.get(SETTING, False)
    if not isinstance(wanted, bool):
        raise ConfigurationError(
            f"the setting {SETTING!r} of collection {collection.name!r} is {shown(wanted)}; use "
            "true or false"
        )
    if not wanted:
        await _forget(database, collection)
        return None
    async with database.connection() as connection:
        space = await embedding_spaces.get_or_create(connection, identity, "region")
    async with database.connection() as connection:
        await embedding_spaces.assign(connection, collection.id, space)
    return space


async def _forget(database: Database, collection: Collection) -> None:
    key = {"collection_id": collection.id}
    async with database.connection() as connection:
        if await embedding_spaces.find_for_collection(connection, collection.id, "region") is None:
            return
        for block in ("take_long", "forget_tiles", "forget_tiling", "leave_space_of_tiles"):
            await connection.execute(_SQL[block], key)
