"""``sightline serve``: MCP over stdin and stdout, for a client that starts the server itself.

stdout carries the protocol alone: the SDK points it at stderr for everything else.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from typing import Any

from sightline.server.app import create_app
from sightline.server.settings import Settings

logger = logging.getLogger(__name__)


async def serve(settings: Settings) -> None:
    """Serve until the client closes stdin.

    SIGTERM, SIGINT, and a database that can never be used as things stand, end the process from
    here: the SDK's thread that reads stdin cannot be interrupted.
    """
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[int] = loop.create_future()

    def finish(code: int) -> None:
        if not ended.done():
            ended.set_result(code)

    app = create_app(settings, on_final=lambda _: finish(2))
    loop.add_signal_handler(signal.SIGTERM, finish, 0)
    loop.add_signal_handler(signal.SIGINT, finish, 130)
    running = asyncio.create_task(app.run_stdio_async())
    either: set[asyncio.Future[Any]] = {running, ended}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if running.done():
        await running
        return
    if app.runtime is not None:
        await app.runtime.close()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(ended.result())
