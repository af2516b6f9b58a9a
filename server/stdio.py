"""MCP over stdin and stdout: ``sightline serve``.

stdout carries only the protocol. The SDK redirects other output to stderr.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any, NoReturn

from sightline.server.app import create_app
from sightline.server.config import Settings
from sightline.server.observability import traces
from sightline.server.observability.gc_freeze import gc_paused


async def serve(settings: Settings) -> NoReturn:
    """Serve until stdin closes or SIGTERM or SIGINT arrives; then end the process.

    The exit code is 2 if the database has an error that a retry cannot solve. The process ends
    here, because two things cannot be interrupted: the thread of the SDK that reads stdin, and an
    import of torch.
    """
    loop = asyncio.get_running_loop()
    exit_code: asyncio.Future[int] = loop.create_future()

    def finish(code: int) -> None:
        if not exit_code.done():
            exit_code.set_result(code)

    with gc_paused():
        app = create_app(settings, on_failure=lambda _: finish(2), answers_commands=True)
    loop.add_signal_handler(signal.SIGTERM, finish, 0)
    loop.add_signal_handler(signal.SIGINT, finish, 130)
    server = asyncio.create_task(app.run_stdio_async())
    either: set[asyncio.Future[Any]] = {server, exit_code}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if server.done():
        await server
        finish(0)
    elif app.runtime is not None:
        await app.runtime.close()
    end_process(exit_code.result())


def end_process(code: int) -> NoReturn:
    """Send what is left to collector and log, then end the process at once.

    Python would finalize itself first, which threads of libraries that still run may abort.
    """
    traces.shut_down()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)
