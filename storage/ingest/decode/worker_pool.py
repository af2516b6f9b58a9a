"""Queue jobs and run them in worker processes. A crash fails one file only.

Not `concurrent.futures`: there one dead worker breaks the pool, a hanging one cannot be stopped,
and results are unpickled from processes that decoded hostile files.
"""

from __future__ import annotations

import asyncio
import logging
import os
import pickle
import sys
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar, get_args

from PIL import Image

from sightline.storage.errors import ConfigurationError, MediaError
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.decode.worker.open_file import FileStamp
from sightline.storage.ingest.discover.sidecars import clean_json
from sightline.storage.ingest.ingest_options import IngestOptions
from sightline.storage.interfaces import OcrEngine, Pixels

if TYPE_CHECKING:
    from pydantic import TypeAdapter

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_STREAM_LIMIT = 1 << 20
_START_DEADLINE_SECONDS = 60.0  # imports are slow on a busy machine
_MAX_DECODE_JOBS = 4
_MAX_HASH_JOBS = 8
_MAX_JOB_BYTES = 16 << 20
_EXIT_DEADLINE_SECONDS = 5.0  # for a process that closed its pipe
# Variables that a worker needs; passwords and tokens are not passed on.
_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH"),
    *("PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LC_ALL", "LC_CTYPE"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A request; ``on_part`` is called per part, then ``on_done`` or ``on_failed``."""

    request: messages.Request
    on_part: Callable[[messages.JobPart], Awaitable[None]]
    on_done: Callable[[], Awaitable[None]]
    on_failed: Callable[[MediaError], Awaitable[None]]


def single_result_job(
    request: messages.Request, convert: Callable[[messages.JobPart], Result]
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

    return Job(request, on_part, on_done, on_failed), future


def parse_message(values: dict[str, Any]) -> messages.WorkerMessage:
    """Validate a worker's frame, tagged by ``type``. Raises ProtocolError.

    The worker decoded hostile files, so its messages are hostile too. Strings come out without NUL
    characters and surrogates, which Postgres refuses.
    """
    from pydantic import ValidationError

    try:
        adapter = _message_adapters()[values.pop("type", None)]
        return adapter.validate_python(clean_json(values))
    except (KeyError, TypeError, ValidationError, RecursionError) as error:
        raise messages.ProtocolError(f"an invalid message: {str(error)[:500]}") from error


@cache
def _message_adapters() -> dict[str, TypeAdapter[messages.WorkerMessage]]:
    from pydantic import TypeAdapter

    return {each.__name__: TypeAdapter(each) for each in get_args(messages.WorkerMessage)}


class WorkerPool:
    """Runs jobs on worker processes. Await `run` in one task per worker."""

    def __init__(
        self,
        preprocess: Callable[[Image.Image], Pixels],
        limits: IngestOptions,
        ocr_engine: OcrEngine | None = None,
    ) -> None:
        self._deadline = limits.file_timeout_seconds
        try:
            code = pickle.dumps((preprocess, ocr_engine))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"the preprocessing or OCR engine cannot be sent to worker processes: {error}"
            ) from error
        configuration = {"import_path": sys.path, "limits": asdict(limits)}
        self._configuration = messages.pack_frame(configuration, {"code": code})
        self.busy_seconds = 0.0
        """Time spent on jobs, summed over workers, as they report it."""
        self.stage_seconds: dict[str, float] = {}
        """Named parts of that time, such as ``ocr``."""
        self.peak_rss_kib = 0
        """Largest resident size that a worker reported."""

    async def run(self, take: Callable[[], Awaitable[Sequence[Job]]]) -> None:
        """Run the jobs that ``take`` returns on one worker, until it returns none.

        A job whose worker dies or misses the deadline fails alone; the jobs behind it are sent
        again to a new worker.
        """
        worker: _Worker | None = None
        try:
            while jobs := deque(await take()):
                while jobs:
                    if worker is None:
                        worker = await _Worker.start(self._configuration)
                    if not await self._serve(worker, jobs):
                        await worker.kill()
                        worker = None
        finally:
            if worker is not None:
                await worker.kill()

    async def _serve(self, worker: _Worker, jobs: deque[Job]) -> bool:
        """Send ``jobs`` and pop each when it ends. Returns False if the worker is lost."""
        worker.send(piece for job in jobs for piece in messages.pack_message(job.request))
        while jobs:
            job = jobs[0]
            try:
                async with asyncio.timeout(self._deadline):
                    message = await worker.receive()
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
                failure = MediaError("timeout", f"took longer than {self._deadline:g} s to decode")
            except (asyncio.IncompleteReadError, ConnectionResetError):
                end, failure = None, await worker.exit_error()
            except messages.ProtocolError as error:
                end = None
                failure = MediaError("crashed", f"corrupted its decoder process: {error}")
            jobs.popleft()
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


class _Worker:
    def __init__(
        self,
        transport: asyncio.SubprocessTransport,
        protocol: asyncio.subprocess.SubprocessStreamProtocol,
    ) -> None:
        assert protocol.stdin is not None  # noqa: S101 - both are pipes by construction
        assert protocol.stdout is not None  # noqa: S101
        self._transport = transport
        self._stdin = protocol.stdin
        self._stdout = protocol.stdout
        self._process = asyncio.subprocess.Process(transport, protocol, asyncio.get_running_loop())

    @classmethod
    async def start(cls, configuration: Sequence[bytes]) -> _Worker:
        """Start a process and wait until it is ready. Raises ConfigurationError."""
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # One thread per worker: the workers together use all cores.
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: asyncio.subprocess.SubprocessStreamProtocol(limit=_STREAM_LIMIT, loop=loop),
            sys.executable,
            "-P",  # without it, a numpy.py in the current folder would run
            *("-m", "sightline.storage.ingest.decode.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # decoders print warnings about hostile files
            env=environment,
        )
        worker = cls(transport, protocol)
        try:
            worker.send(configuration)
            async with asyncio.timeout(_START_DEADLINE_SECONDS):
                message = await worker.receive()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            reason = await worker.exit_error()
            raise ConfigurationError(f"a decoder process does not start: {reason}") from error
        except BaseException:
            await worker.kill()
            raise
        if isinstance(message, messages.WorkerReady) and message.error is not None:
            await worker.kill()
            raise ConfigurationError(f"a decoder process does not start:\n{message.error}")
        return worker

    def send(self, frames: Iterable[bytes]) -> None:
        """Send without draining the pipe.

        The worker may be waiting for room in the other pipe, and what was taken fits into memory.
        """
        self._stdin.writelines(frames)

    async def receive(self) -> messages.WorkerMessage:
        return parse_message(await messages.receive_frame(self._stdout))

    async def exit_error(self) -> MediaError:
        """Return the error for the file at which the process died.

        Waits first: if `kill` meets the exit, the event loop never learns the status (255).
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_EXIT_DEADLINE_SECONDS):
                await self._process.wait()
        await self.kill()
        status = self._transport.get_returncode()
        how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
        return MediaError("crashed", f"crashed its decoder process ({how})")

    async def kill(self) -> None:
        if self._transport.get_returncode() is None:
            self._transport.kill()
        await self._process.wait()
        self._transport.close()


class ByteSemaphore:
    """Limits the bytes of files in memory; a single larger file is admitted alone."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = self._available = max_bytes
        self._changed = asyncio.Condition()

    async def acquire(self, count: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self._available >= min(count, self._max_bytes))
            self._available -= count

    async def release(self, count: int) -> None:
        async with self._changed:
            self._available += count
            self._changed.notify_all()


class DecodeQueue:
    """Bounded in decode jobs, which holds back the stages before it.

    Decode jobs come first: while there are any, hashing is far enough ahead.
    """

    def __init__(self, max_decode_jobs: int) -> None:
        self._max_decode_jobs = max_decode_jobs
        self._decode_jobs: deque[Job] = deque()
        self._hash_jobs: deque[Job] = deque()
        self._changed = asyncio.Condition()
        self._closed = False

    async def put_decode(self, job: Job) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._decode_jobs) < self._max_decode_jobs)
            self._decode_jobs.append(job)
            self._changed.notify_all()

    async def requeue(self, job: Job) -> None:
        """Add a decode job at the front, without waiting for room.

        The caller is itself a consumer of the queue, so waiting would be a deadlock.
        """
        async with self._changed:
            self._decode_jobs.appendleft(job)
            self._changed.notify_all()

    async def hash_file(self, path: str) -> tuple[bytes, FileStamp]:
        """Return the SHA-256 and the stamp of a file. Raises MediaError."""
        job, result = single_result_job(messages.HashRequest(path), _parse_hash)
        async with self._changed:
            self._hash_jobs.append(job)
            self._changed.notify_all()
        return await result

    async def close(self) -> None:
        async with self._changed:
            self._closed = True
            self._changed.notify_all()

    async def take(self) -> list[Job]:
        """Return a few jobs of one kind, so that a worker need not wait between them.

        Returns none at the end.
        """
        async with self._changed:
            await self._changed.wait_for(
                lambda: self._decode_jobs or self._hash_jobs or self._closed
            )
            jobs: list[Job] = []
            size = 0
            while self._decode_jobs and len(jobs) < _MAX_DECODE_JOBS and size < _MAX_JOB_BYTES:
                job = self._decode_jobs.popleft()
                if isinstance(job.request, messages.DecodeRequest):
                    size += len(job.request.data or b"")
                jobs.append(job)
            if not jobs:
                count = min(_MAX_HASH_JOBS, len(self._hash_jobs))
                jobs = [self._hash_jobs.popleft() for _ in range(count)]
            self._changed.notify_all()
            return jobs


def _parse_hash(part: messages.JobPart) -> tuple[bytes, FileStamp]:
    if not isinstance(part, messages.FileHash):
        raise messages.ProtocolError(f"a {type(part).__name__} for a hash")
    try:
        return bytes.fromhex(part.sha256), part.stamp
    except ValueError as error:
        raise messages.ProtocolError(f"an invalid hash: {error}") from error
