"""What is new, what is known, what is there twice: decided by content, in the order of names."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Database
from sightline.storage.errors import MediaError
from sightline.storage.ingest.decode.decode_stage import Reading
from sightline.storage.ingest.decode.worker.open_file import Stamp
from sightline.storage.ingest.discover.discovered_file import Found
from sightline.storage.ingest.ingest_items import Known, Work
from sightline.storage.ingest.progress import Tally
from sightline.storage.records.collections import Collection

_SQL = sql_loader.load("ingest")
_FILE = "file:"


class Identifier:
    """Decides for one collection; ``open_works`` are those of this run that are not written."""

    def __init__(
        self,
        database: Database,
        collection: Collection,
        reading: Reading,
        tally: Tally,
    ) -> None:
        self._database = database
        self._collection = collection
        self._reading = reading
        self._tally = tally
        self._open: dict[bytes, Work] = {}

    def close(self, work: Work) -> None:
        """It is written (or has failed): from now on the database knows about it."""
        if self._open.get(work.content_key) is work:
            del self._open[work.content_key]

    async def hash_all(self, batch: Sequence[Found]) -> list[Work]:
        """Work for each, with its content key, or failed where the bytes cannot be read."""
        async with asyncio.TaskGroup() as tasks:
            started = [tasks.create_task(self._hash(found)) for found in batch]
        return [task.result() for task in started]

    async def decide(self, works: Sequence[Work]) -> list[Work]:
        """Those that something is to be done about; the others are counted.

        Returned are failures, new sources, and known ones (``known`` is set) whose sidecar
        changed or whose file was moved.
        """
        by_key, by_place = await self._known(works)
        todo: list[Work] = []
        for work in works:
            if work.failure is not None:
                todo.append(work)
                continue
            known = by_key.get(work.content_key)
            if known is not None and known.state == "done":
                work.known, work.kind = known, known.kind
                if await self._changed(work, known):
                    todo.append(work)
                continue
            twin = self._open.get(work.content_key)
            if twin is not None:
                twin.twins.append(work.found)
                continue
            there = by_place.get(work.location)
            work.replaces = there is not None and there.state == "done"
            self._open[work.content_key] = work
            todo.append(work)
        return todo

    async def _changed(self, work: Work, known: Known) -> bool:
        """Whether the row of these bytes has to be brought up to date; else it is counted."""
        sidecar = work.found.sidecar
        # Stored bytes have one place, whatever they are called.
        stored = not known.location.startswith(_FILE)
        if stored and work.found.data is not None:
            await self._reading.restore(known.location, work.found.data)
        if work.location == known.location and (not stored or work.found.name == known.name):
            if (sidecar.key if sidecar else None) != known.sidecar_sha256:
                return True
            if self._reading.wants_look(work) or not known.named:
                return True
            self._tally.count("unchanged")
            return False
        if stored or await self._still_there(known):
            self._tally.count("duplicate")
            return False
        return True  # the file was moved

    async def _still_there(self, known: Known) -> bool:
        """Whether the place that a row names still holds its bytes."""
        try:
            digest, _ = await self._reading.hash(known.location.removeprefix(_FILE))
        except MediaError:
            return False
        return digest == known.content_key

    async def _hash(self, found: Found) -> Work:
        if found.failure is None:
            try:
                return await self._identified(found)
            except MediaError as error:
                found.failure = error
        location = found.place_location
        return Work(found, found.place_key, location, failure=found.failure, ended=True)

    async def _identified(self, found: Found) -> Work:
        if found.data is not None:
            digest = await asyncio.to_thread(lambda data: hashlib.sha256(data).digest(), found.data)
            return Work(found, digest, f"object:{digest.hex()}", byte_size=len(found.data))
        if found.path is None:
            raise ValueError(f"{found.name} has neither a path nor bytes")
        stamp: Stamp
        digest, stamp = await self._reading.hash(found.path)
        return Work(found, digest, f"{_FILE}{found.path}", stamp, byte_size=stamp.size)

    async def _known(self, works: Sequence[Work]) -> tuple[dict[bytes, Known], dict[str, Known]]:
        readable = [work for work in works if work.failure is None]
        if not readable:
            return {}, {}
        values = {
            "collection_id": self._collection.id,
            "keys": [work.content_key for work in readable],
            "locations": [w.location for w in readable if w.location.startswith(_FILE)],
        }
        async with self._database.connection() as connection:
            rows = await (await connection.execute(_SQL["known"], values)).fetchall()
        known = [Known(*row) for row in rows]
        return {k.content_key: k for k in known}, {k.location: k for k in known}
