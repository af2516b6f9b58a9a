"""``sightline serve``: MCP over stdin and stdout, for a client that starts the server itself.

stdout carries the protocol alone: the SDK points it at stderr for everything else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any, NoReturn

from sightline.server.app import create_app
from sightline.server.config.settings import Settings
from sightline.server.observability.gc_freeze import gc_paused

logger = logging.getLogger(__name__)


async def serve(settings: Settings) -> NoReturn:
    """Serve until the client closes stdin, or SIGTERM or SIGINT comes; ends the process.

    Exit code 2 where the database can never be used as things stand. Raises what makes the server
    fail. The process ends from here because two things cannot be interrupted: the SDK's thread
    that reads stdin, and an import of torch, which the interpreter would wait for or trip over.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def finish(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    with gc_paused():
        app = create_app(settings, on_final=lambda _: finish(2))
    loop.add_signal_handler(signal.SIGTERM, finish, 0)
    loop.add_signal_handler(signal.SIGINT, finish, 130)
    running = asyncio.create_task(app.run_stdio_async())
    either: set[asyncio.Future[Any]] = {running, ended}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
        finish(0)
    elif app.runtime is not None:
        await app.runtime.close()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(ended.result())
