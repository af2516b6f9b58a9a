"""Run jobs in worker processes. A crash fails one file only.

Not `concurrent.futures`: there one dead worker breaks the pool, a hanging one cannot be stopped,
and results are unpickled from processes that decoded hostile files.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

from PIL import Image

from sightline.storage.errors import ConfigurationError, MediaError
from sightline.storage.ingest.decode.worker import frames
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker_process import WorkerProcess
from sightline.storage.ingest.decode.worker_slots import WorkerSlots
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import OcrEngine, Pixels

logger = logging.getLogger(__name__)

Result = TypeVar("Result")


@dataclass(slots=True)
class WorkBudget:
    """Time that a worker may work on a job. Time that it waits for us does not count.

    ``max_seconds`` is for the whole job, ``max_step_seconds`` for the time to its next message.
    """

    max_seconds: float
    max_step_seconds: float
    used_seconds: float = 0.0

    def next_limit(self) -> float:
        """Return the seconds until the next message must have arrived."""
        return max(0.0, min(self.max_step_seconds, self.max_seconds - self.used_seconds))

    def error(self) -> MediaError:
        """Return the error for a job that has used it up."""
        is_total = self.used_seconds >= self.max_seconds
        seconds = self.max_seconds if is_total else self.max_step_seconds
        return MediaError("timeout", f"took longer than {seconds:g} s to decode")


@dataclass(frozen=True, slots=True)
class Job:
    """A request; ``on_part`` is called per part, then ``on_done`` or ``on_failed``.

    Without a ``budget``, the limit of a file is that for the whole job. A worker that sends a frame
    of more than ``max_frame_bytes`` is ended.
    """

    request: messages.Request
    on_part: Callable[[messages.JobPart], Awaitable[None]]
    on_done: Callable[[], Awaitable[None]]
    on_failed: Callable[[MediaError], Awaitable[None]]
    budget: WorkBudget | None = None
    max_frame_bytes: int = frames.MAX_FRAME_BYTES


def single_result_job(
    request: messages.Request,
    convert: Callable[[messages.JobPart], Result],
    max_frame_bytes: int = frames.MAX_FRAME_BYTES,
) -> tuple[Job, asyncio.Future[Result]]:
    """Return a job with exactly one part, and the future of its converted part.

    ``convert`` raises ProtocolError for a part of a wrong type or content.
    """
    future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
    results: list[Result] = []

    async def on_part(part: messages.JobPart) -> None:
        results.append(convert(part))

    async def on_done() -> None:
        if len(results) != 1:
            raise messages.ProtocolError(f"{len(results)} results of one request")
        if not future.done():
            future.set_result(results[0])

    async def on_failed(error: MediaError) -> None:
        if not future.done():
            future.set_exception(error)

    job = Job(request, on_part, on_done, on_failed, max_frame_bytes=max_frame_bytes)
    return job, future


class WorkerPool:
    """Runs jobs on worker processes. Await `run` in one task per worker.

    ``slots`` are shared with the pools of other calls; without them, the pool has its own.
    """

    def __init__(
        self,
        preprocess: Callable[[Image.Image], Pixels],
        limits: IngestOptions,
        ocr_engine: OcrEngine | None = None,
        *,
        slots: WorkerSlots | None = None,
        principal: str | None = None,
    ) -> None:
        self._slots = WorkerSlots(idle_seconds=None) if slots is None else slots
        self._owns_slots = slots is None
        self._principal = principal
        self._running = 0
        self._deadline = limits.file_timeout_seconds
        try:
            code = pickle.dumps((preprocess, ocr_engine))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"the preprocessing or OCR engine cannot be sent to worker processes: {error}"
            ) from error
        configuration = {"import_path": sys.path, "limits": asdict(limits)}
        self._configuration = b"".join(frames.pack_frame(configuration, {"code": code}))
        self.busy_seconds = 0.0
        """Time spent on jobs, summed over workers, as they report it."""
        self.stage_seconds: dict[str, float] = {}
        """Named parts of that time, such as ``ocr``."""
        self.peak_rss_kib = 0
        """Largest resident size that a worker reported."""

    async def run(self, take: Callable[[], Awaitable[Sequence[Job]]]) -> None:
        """Run the jobs that ``take`` returns, until it returns none.

        Each list is one turn of a worker.
        A job whose worker dies or misses its deadline fails alone; the jobs behind it are sent
        again to a new worker. If this is cancelled, the worker is killed.
        """
        self._running += 1
        try:
            while jobs := deque(await take()):
                await self._run_turn(jobs)
        finally:
            self._running -= 1
            if self._owns_slots and not self._running:
                await self._slots.close()

    async def run_job(self, job: Job) -> None:
        """Run one job. See `run`."""
        await self._run_turn(deque([job]))

    async def _run_turn(self, jobs: deque[Job]) -> None:
        while jobs:
            async with self._slots.lease(self._principal, self._configuration) as lease:
                lease.is_lost = not await self._serve(lease.process, jobs)

    async def _serve(self, worker: WorkerProcess, jobs: deque[Job]) -> bool:
        """Send ``jobs`` and pop each when it ends. Returns False if the worker is lost."""
        worker.send(piece for job in jobs for piece in frames.pack_message(job.request))
        budget: WorkBudget | None = None
        while jobs:
            job = jobs[0]
            budget = budget or job.budget or WorkBudget(self._deadline, self._deadline)
            try:
                message = await _receive(worker, budget, job.max_frame_bytes)
                if isinstance(message, messages.WorkerReady):
                    raise messages.ProtocolError("'ready' during a job")
                if not isinstance(message, messages.JobEnd):
                    if not isinstance(message, messages.WorkerAlive):
                        await job.on_part(message)  # waits while the encoder is behind
                    continue
                if message.code is None:
                    await job.on_done()
                end: messages.JobEnd | None = message
                failure = MediaError(message.code, message.message) if message.code else None
            except TimeoutError:
                end = None
                failure = budget.error()
            except (asyncio.IncompleteReadError, ConnectionResetError):
                end, failure = None, await worker.exit_error()
            except messages.ProtocolError as error:
                end = None
                failure = MediaError("crashed", f"corrupted its decoder process: {error}")
            jobs.popleft()
            budget = None
            if end is not None:
                self.busy_seconds += end.seconds
                for stage, seconds in end.stage_seconds.items():
                    self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds
                self.peak_rss_kib = max(self.peak_rss_kib, end.peak_rss_kib)
                if end.traceback:
                    name = getattr(job.request, "name", "an image")
                    logger.debug("worker failed on %s:\n%s", name, end.traceback)
            if failure is not None:
                await job.on_failed(failure)
                # The memory that the allocator holds would fail the next file too.
                if end is None or end.code == "out_of_memory":
                    return False
        return True


async def _receive(
    worker: WorkerProcess, budget: WorkBudget, max_frame_bytes: int
) -> messages.WorkerMessage:
    """Return the next message, and count its time. Raises TimeoutError."""
    started = asyncio.get_running_loop().time()
    try:
        async with asyncio.timeout(budget.next_limit()):
            return await worker.receive(max_frame_bytes)
    finally:
        budget.used_seconds += asyncio.get_running_loop().time() - started


def no_preprocess(image: Image.Image) -> Pixels:
    """Return the pixels of an image: for pools without an encoder."""
    import numpy as np  # in the worker process: a server starts without it

    return np.asarray(image.convert("RGB"))
