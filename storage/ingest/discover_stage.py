"""Discover stage: walk folders and archives, fetch URLs, hash what is found."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass
from threading import Event
from typing import Any

from sightline.storage.ingest import stage_types as stages
from sightline.storage.ingest.decode.decode_queue import AmountSemaphore
from sightline.storage.ingest.decode.tree_reader import TreeReader
from sightline.storage.ingest.decode.worker_pool import WorkerPool, no_preprocess
from sightline.storage.ingest.discover.input_paths import IngestInput
from sightline.storage.ingest.discover.walk import count, trees_of
from sightline.storage.ingest.ingest_capacity import FileMemory, IngestCapacity
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.ingest.progress import IngestStats
from sightline.storage.ingest.store.dedup import HashFile, hash_files

HashTask = asyncio.Task[list[stages.HashedFile | stages.FailedSource]]


@dataclass(slots=True)
class DiscoverStage:
    """Puts tasks that hash files into ``hashed``, in discovery order.

    None is the end. ``in_thread`` runs a function in a thread of the ingest. Bytes without a file
    wait for ``lookahead`` and ``memory``, which are released when they are written. ``is_wanted``
    chooses files by failure location; None takes all.
    """

    hashed: asyncio.Queue[HashTask | None]
    stats: IngestStats
    _: KW_ONLY
    options: IngestOptions
    capacity: IngestCapacity
    principal: str | None
    hash_file: HashFile
    lookahead: AmountSemaphore
    memory: FileMemory
    in_thread: Callable[..., Awaitable[Any]]
    stop: Event
    is_wanted: Callable[[str], bool] | None

    async def count(self, inputs: Sequence[IngestInput]) -> None:
        """Count the files for the progress, faster than they are read."""
        total = await self.in_thread(count, inputs, self.stop)
        self.stats.total = max(self.stats.total, total)

    async def run(self, inputs: Sequence[IngestInput]) -> None:
        """Have the inputs walked and start hashing what is found."""
        async with asyncio.TaskGroup() as hashing:

            async def start_hashing(batch: list[stages.DiscoveredFile]) -> None:
                if self.is_wanted is not None:
                    batch = [each for each in batch if self.is_wanted(each.failure_location)]
                await self.lookahead.acquire(sum(len(file.data or b"") for file in batch))
                await self.memory.acquire(batch)
                task = hashing.create_task(hash_files(batch, self.hash_file))
                await self.hashed.put(task)

            folders, archives = (
                WorkerPool(no_preprocess, self.options, slots=slots, principal=self.principal)
                for slots in (self.capacity.folders, self.capacity.archives)
            )
            reader = TreeReader(
                folders, archives, self.options, start_hashing, self.stats.warn, self.in_thread
            )
            await reader.read(await self.in_thread(trees_of, inputs), self.is_wanted)
            seconds = reader.download_seconds + folders.busy_seconds + archives.busy_seconds
            self.stats.add_time("discover", seconds)
        await self.hashed.put(None)
