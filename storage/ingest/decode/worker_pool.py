"""Worker processes that may crash, hang or be killed, each time at the cost of one file.

Not `concurrent.futures`: there, one dead worker breaks the whole pool, a hanging one cannot be
stopped, and results are unpickled from processes that have read hostile files.
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
from dataclasses import dataclass
from typing import Any

from PIL import Image

from sightline.storage.errors import ConfigurationError, MediaError
from sightline.storage.ingest.decode.worker.worker_protocol import (
    Frame,
    Header,
    ProtocolError,
    pack,
    receive_frame,
)
from sightline.storage.interfaces import Pixels, OcrEngine

log = logging.getLogger(__name__)

_STREAM_LIMIT = 1 << 20
_START_DEADLINE_SECONDS = 60.0  # more than the import of a worker takes on a crowded machine
_END_DEADLINE_SECONDS = 5.0  # for a process whose pipe has closed: it is ending, or it misbehaves
# What a worker needs of the environment: not the passwords and tokens that may stand there.
_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH"),
    *("PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LC_ALL", "LC_CTYPE"),
)


@dataclass(frozen=True, slots=True)
class Job:
    """A request, and who is told: ``part`` for each part, then ``done`` or ``failed`` once."""

    header: Header
    blobs: Sequence[bytes]
    part: Callable[[Frame], Awaitable[None]]
    done: Callable[[Header], Awaitable[None]]
    failed: Callable[[MediaError, Header], Awaitable[None]]


class Pool:
    """Runs jobs on worker processes. Use as an async context manager; `run` in a task each."""

    def __init__(
        self,
        preprocess: Callable[[Image.Image], Pixels],
        limits: dict[str, int],
        deadline_seconds: float,
        reader: OcrEngine | None = None,
    ) -> None:
        self._deadline = deadline_seconds
        try:
            code = pickle.dumps((preprocess, reader))
        except (pickle.PicklingError, AttributeError, TypeError) as error:
            raise ConfigurationError(
                f"the preprocess or the reader cannot be sent to worker processes: {error}"
            ) from error
        self._first = pack({"import_path": sys.path, "limits": limits}, [code])
        self.busy_seconds = 0.0
        """Time spent on jobs, summed over the workers, as they report it."""
        self.spent: dict[str, float] = {}
        """The parts of that time that have a name, such as ``ocr``."""
        self.peak_kib = 0
        """Largest resident size that a worker has reported."""

    async def run(self, take: Callable[[], Awaitable[Sequence[Job]]]) -> None:
        """Drive one worker with the jobs that ``take`` gives until it gives none.

        A job whose worker dies or exceeds the deadline fails alone; those behind it are sent
        again to a new worker.
        """
        worker: _Worker | None = None
        try:
            while jobs := deque(await take()):
                while jobs:
                    if worker is None:
                        worker = await _Worker.start(self._first)
                    if not await self._serve(worker, jobs):
                        await worker.kill()
                        worker = None
        finally:
            if worker is not None:
                await worker.kill()

    async def _serve(self, worker: _Worker, jobs: deque[Job]) -> bool:
        """Send ``jobs`` and deliver the answers, popping each; False when the worker is lost."""
        worker.send(jobs)
        while jobs:
            job = jobs[0]
            try:
                async with asyncio.timeout(self._deadline):
                    header, blobs = await worker.receive()
                if header.get("part") != "end":
                    await job.part((header, blobs))  # waits while the encoder is behind
                    continue
                if "failed" not in header:
                    await job.done(header)
            except TimeoutError:
                jobs.popleft()
                message = f"took longer than {self._deadline:g} s to read"
                await job.failed(MediaError("timeout", message), {})
                return False
            except (asyncio.IncompleteReadError, ConnectionResetError):
                jobs.popleft()
                await job.failed(await worker.post_mortem(), {})
                return False
            except ProtocolError as error:
                jobs.popleft()
                message = f"made its worker send {error}"
                await job.failed(MediaError("crashed", message), {})
                return False
            jobs.popleft()
            self.busy_seconds += float(header.get("seconds", 0.0))
            for stage, seconds in header.get("spent", {}).items():
                self.spent[stage] = self.spent.get(stage, 0.0) + float(seconds)
            self.peak_kib = max(self.peak_kib, int(header.get("peak_kib", 0)))
            if (code := header.get("failed")) is None:
                continue
            if trace := header.get("trace"):
                log.debug("a worker failed on %s:\n%s", job.header.get("name"), trace)
            await job.failed(MediaError(str(code), str(header.get("message"))), header)
            if code == "out_of_memory":
                return False  # what the allocator holds now would make the next file fail too
        return True


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
    async def start(cls, first: Sequence[Any]) -> _Worker:
        """Start a process and wait until it is ready. Raises ConfigurationError."""
        environment = {name: os.environ[name] for name in _ENVIRONMENT if name in os.environ}
        # One thread each: the workers together are what uses all cores.
        environment |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
        loop = asyncio.get_running_loop()
        transport, protocol = await loop.subprocess_exec(
            lambda: asyncio.subprocess.SubprocessStreamProtocol(limit=_STREAM_LIMIT, loop=loop),
            sys.executable,
            "-P",  # or a file called numpy.py in the current folder would be run
            *("-m", "sightline.storage.ingest.decode.worker"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,  # decoders complain there about hostile files
            env=environment,
        )
        worker = cls(transport, protocol)
        try:
            worker._stdin.writelines(first)
            async with asyncio.timeout(_START_DEADLINE_SECONDS):
                header, _ = await worker.receive()
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError) as error:
            end = await worker.post_mortem()
            raise ConfigurationError(f"a decoding process does not start: {end}") from error
        except BaseException:
            await worker.kill()
            raise
        if message := header.get("error"):
            await worker.kill()
            raise ConfigurationError(f"a decoding process does not start:\n{message}")
        return worker

    def send(self, jobs: deque[Job]) -> None:
        """Send requests; the worker reads them one by one as it goes.

        Without waiting for room in the pipe: the worker may itself be waiting for room in the
        other one, and what was taken is small enough to hold.
        """
        for job in jobs:
            self._stdin.writelines(pack(job.header, job.blobs))

    async def receive(self) -> Frame:
        return await receive_frame(self._stdout)

    async def post_mortem(self) -> MediaError:
        """What to say of the file at which the process died.

        It is let end by itself first: `kill` asks the system whether the process lives, and where
        that question is what meets its end, the event loop never learns how it ended (255).
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(_END_DEADLINE_SECONDS):
                await self._process.wait()
        await self.kill()
        status = self._transport.get_returncode()
        how = f"signal {-status}" if status is not None and status < 0 else f"status {status}"
        return MediaError("crashed", f"crashed the process that decoded it ({how})")

    async def kill(self) -> None:
        """End the process and close its pipes."""
        if self._transport.get_returncode() is None:
            self._transport.kill()
        await self._process.wait()
        self._transport.close()
