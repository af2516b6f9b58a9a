"""Run jobs in worker processes. A crash or hang fails one file only.

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
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from PIL import Image

from sightline.storage.errors import ConfigurationError, MediaError
from sightline.storage.ingest.decode.worker.worker_context import WorkerLimits
from sightline.storage.ingest.decode.worker.worker_protocol import (
    JobEnd,
    JobPart,
    ProtocolError,
    Request,
    WorkerAlive,
    WorkerMessage,
    WorkerReady,
    pack_frame,
    pack_message,
    receive_frame,
)
from sightline.storage.ingest.discover.sidecars import clean_json
from sightline.storage.interfaces import OcrEngine, Pixels

if TYPE_CHECKING:
    from pydantic import TypeAdapter

logger = logging.getLogger(__name__)

_STREAM_LIMIT = 1 << 20
_START_DEADLINE_SECONDS = 60.0  # imports are slow on a busy machine
_EXIT_DEADLINE_SECONDS = 5.0  # for a process that closed its pipe
# Variables that a worker needs; passwords and tokens are not passed on.
_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH"),
    *("PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LC_ALL", "LC_CTYPE"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A request; ``on_part`` is called per part, then ``on_done`` or ``on_failed``."""

    request: Request
    on_part: Callable[[JobPart], Awaitable[None]]
    on_done: Callable[[], Awaitable[None]]
    on_failed: Callable[[MediaError], Awaitable[None]]


def parse_message(values: dict[str, Any]) -> WorkerMessage:
    """Validate a worker's frame, tagged by ``type``. Raises ProtocolError.

    The worker decoded hostile files, so its messages are hostile too. Strings come out without NUL
    characters and surrogates, which Postgres refuses.
    """
    from pydantic import ValidationError

    try:
        adapter = _message_adapters()[values.pop("type", None)]
        return adapter.validate_python(clean_json(values))
    except (KeyError, TypeError, ValidationError, RecursionError) as error:
        raise ProtocolError(f"an invalid message: {str(error)[:500]}") from error


@cache
def _message_adapters() -> dict[str, TypeAdapter[WorkerMessage]]:
    from pydantic import TypeAdapter

    return {each.__name__: TypeAdapter(each) for each in get_args(WorkerMessage)}


class WorkerPool:
    """Runs jobs on worker processes. Await `run` in one task per worker."""

    def __init__(
        self,
        preprocess: Callable[[Image.Image], Pixels],
        limits: WorkerLimits,
        deadline_seconds: float,
        ocr_engine: OcrEngine | None = None,
    ) -> None:
        self._deadline = deadline_seconds
        try:
            code = pickle.dumps((preprocess, ocr_engine))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"the preprocessing or OCR engine cannot be sent to worker processes: {error}"
            ) from error
        configuration = {"import_path": sys.path, "limits": asdict(limits)}
        self._configuration = pack_frame(configuration, {"code": code})
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
        worker.send(jobs)
        while jobs:
            job = jobs[0]
            try:
                async with asyncio.timeout(self._deadline):
                    message = await worker.receive()
                match message:
                    case WorkerAlive():
                        continue
                    case JobEnd():
                        end = message
                    case WorkerReady():
                        raise ProtocolError("'ready' during a job")
                    case _:
                        await job.on_part(message)  # waits while the encoder is behind
                        continue
                if end.code is None:
                    await job.on_done()
            except TimeoutError:
                jobs.popleft()
                error = MediaError("timeout", f"took longer than {self._deadline:g} s to decode")
                await job.on_failed(error)
                return False
            except (asyncio.IncompleteReadError, ConnectionResetError):
                jobs.popleft()
                await job.on_failed(await worker.exit_error())
                return False
            except ProtocolError as error:
                jobs.popleft()
                await job.on_failed(
                    MediaError("crashed", f"corrupted its decoder process: {error}")
                )
                return False
            jobs.popleft()
            self._account(end)
            if end.code is None:
                continue
            if end.traceback:
                logger.debug("worker failed on %s:\n%s", _name(job.request), end.traceback)
            await job.on_failed(MediaError(end.code, end.message))
            if end.code == "out_of_memory":
                return False  # the memory that the allocator holds would fail the next file too
        return True

    def _account(self, end: JobEnd) -> None:
        self.busy_seconds += end.seconds
        for stage, seconds in end.stage_seconds.items():
            self.stage_seconds[stage] = self.stage_seconds.get(stage, 0.0) + seconds
        self.peak_rss_kib = max(self.peak_rss_kib, end.peak_rss_kib)


class _Worker:
    """One process and its two pipes."""

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
            worker._stdin.writelines(configuration)
            async with asyncio.timeout(_START_DEADLINE_SECONDS):
                message = await worker.receive()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            reason = await worker.exit_error()
            raise ConfigurationError(f"a decoder process does not start: {reason}") from error
        except BaseException:
            await worker.kill()
            raise
        if isinstance(message, WorkerReady) and message.error is not None:
            await worker.kill()
            raise ConfigurationError(f"a decoder process does not start:\n{message.error}")
        return worker

    def send(self, jobs: deque[Job]) -> None:
        """Send requests; the worker reads them one by one.

        Does not drain the pipe: the worker may be waiting for room in the other pipe, and the
        requests that were taken fit into memory.
        """
        for job in jobs:
            self._stdin.writelines(pack_message(job.request))

    async def receive(self) -> WorkerMessage:
        return parse_message(await receive_frame(self._stdout))

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
        """Kill the process and close its pipes."""
        if self._transport.get_returncode() is None:
            self._transport.kill()
        await self._process.wait()
        self._transport.close()


def _name(request: Request) -> str:
    return str(getattr(request, "name", getattr(request, "path", "an image")))
