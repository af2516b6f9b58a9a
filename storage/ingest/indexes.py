"""The vector index during a load: kept up to date by small ones, built after large ones."""

from __future__ import annotations

import logging

from sightline.storage import queries, spaces
from sightline.storage.database import Database
from sightline.storage.ingest.options import IngestOptions
from sightline.storage.spaces import Space

log = logging.getLogger(__name__)

_SQL = queries.load("ingest")
_ANALYZE_ROWS = 100  # fewer change no plan


class IndexCare:
    """Looks after the index of one space through an ingest.

    A load that was cut off leaves a space without its index: the next `finish`, of an ingest or
    at the start of a server (`repair`), builds it.
    """

    def __init__(self, database: Database, space: Space, options: IngestOptions) -> None:
        self._database = database
        self._space = space
        self._options = options
        self._rows = 0
        self._indexed = True

    async def start(self) -> None:
        """Look at what is there."""
        async with self._database.connection() as connection:
            self._indexed = await spaces.has_index(connection, self._space)
            self._rows = await spaces.count(connection, self._space)

    async def expect(self, rows: int) -> None:
        """Drop the index if so many rows are to come that building it afterwards is faster."""
        large = rows > self._options.bulk_rows and rows > self._options.bulk_fraction * self._rows
        if not self._indexed or not large:
            return
        log.info("about %d vectors to come: the index is built after them", rows)
        async with self._database.connection() as connection:
            await spaces.drop_index(connection, self._space)
        self._indexed = False

    async def finish(self, rows_added: int) -> None:
        """Build the index where it is missing, and tell the planner what is new."""
        async with self._database.connection() as connection:
            await spaces.ensure_index(connection, self._space)
            if rows_added >= _ANALYZE_ROWS:
                await connection.execute(self._space.compose(_SQL["analyze_partition"]))


async def repair(database: Database) -> None:
    """Build the vector indexes that a cut-off load left missing."""
    async with database.connection() as connection:
        for space in await spaces.all_spaces(connection):
            await spaces.ensure_index(connection, space)
