"""A worker process: how it is started, and the messages that it sends.

Its messages are hostile: it decoded hostile files.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Any, get_args

from sightline.storage.errors import ConfigurationError, MediaError
from sightline.storage.ingest.decode.worker import frames
from sightline.storage.ingest.decode.worker import worker_protocol as messages
from sightline.storage.ingest.discover.sidecars import clean_json

if TYPE_CHECKING:
    from pydantic import TypeAdapter

_STREAM_LIMIT = 1 << 20
_SHORT_BYTES = 8 << 10
_START_DEADLINE_SECONDS = 60.0  # imports are slow on a busy machine
_EXIT_DEADLINE_SECONDS = 5.0  # for a process that closed its pipe
# Variables that a worker needs; passwords and tokens are not passed on.
_ENVIRONMENT = (
    *("PATH", "HOME", "LANG", "TMPDIR", "TEMP", "TMP", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONPATH"),
    *("PYTHONHOME", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "LC_ALL", "LC_CTYPE"),
)


class WorkerProcess:
    """One worker process and its pipes."""

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
        self._is_stopped = False
        self._process = asyncio.subprocess.Process(transport, protocol, asyncio.get_running_loop())

    @classmethod
    async def start(cls, configuration: bytes) -> WorkerProcess:
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
            worker.send([configuration])
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
            # The traceback names folders of the server.
            raise ConfigurationError("a decoder process does not start", details=message.error)
        return worker

    def send(self, frames: Iterable[bytes]) -> None:
        """Send without draining the pipe.

        The worker may be waiting for room in the other pipe, and what was taken fits into memory.
        """
        self._stdin.writelines(frames)

    async def receive(
        self, max_frame_bytes: int = frames.MAX_FRAME_BYTES
    ) -> messages.WorkerMessage:
        """Return the next message. Raises ProtocolError, also above ``max_frame_bytes``."""
        values = await frames.receive_frame(self._stdout, max_frame_bytes)
        texts = sum(len(values[name]) for name in frames.JSON_BLOBS & values.keys())
        if texts > _SHORT_BYTES:  # up to megabytes: not in the event loop
            return await asyncio.to_thread(parse_message, values)
        return parse_message(values)

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

    @property
    def is_alive(self) -> bool:
        return self._transport.get_returncode() is None and not self._is_stopped

    def stop(self) -> None:
        """Kill the process at once, without waiting for its end."""
        if self._transport.get_returncode() is None and not self._is_stopped:
            # Once only: the second time the library would take the status from the event loop.
            self._is_stopped = True
            self._transport.kill()

    async def kill(self) -> None:
        """Kill the process and wait for its end."""
        self.stop()
        await self._process.wait()
        self._transport.close()


def parse_message(values: dict[str, Any]) -> messages.WorkerMessage:
    """Validate a worker's frame, tagged by ``type``. Raises ProtocolError.

    The worker decoded hostile files, so its messages are hostile too. Strings come out without NUL
    characters and surrogates, which Postgres refuses.
    """
    from pydantic import ValidationError

    try:
        values = frames.parse_json_blobs(values)
        adapter = _message_adapters()[values.pop("type", None)]
        return adapter.validate_python(clean_json(values))
    except (KeyError, TypeError, ValidationError, RecursionError) as error:
        raise messages.ProtocolError(f"an invalid message: {str(error)[:500]}") from error


@cache
def _message_adapters() -> dict[str, TypeAdapter[messages.WorkerMessage]]:
    from pydantic import TypeAdapter

    return {each.__name__: TypeAdapter(each) for each in get_args(messages.WorkerMessage)}
