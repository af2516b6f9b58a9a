"""Runs the server: what ``sightline vlm builtin`` calls, and ``make demo`` beside its own."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from sightline.server.models.model_server.builtin.openai_app import BUILTIN, create_app
from sightline.server.models.model_server.builtin.request_limits import Limits
from sightline.storage.errors import ConfigurationError, ModelUnavailableError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8377
_STOP_S = 5
_KEEP_ALIVE_S = 75  # longer than clients keep idle connections: their requests meet no closing


def main(
    folder: Path = BUILTIN,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    name: str | None = None,
    device: str = "cpu",
) -> int:
    """Serve until interrupted. It asks nobody who they are: keep it on loopback."""
    _server(folder, host, port, name, None, device).run()
    return 0


@contextlib.contextmanager
def serving(
    folder: Path = BUILTIN,
    *,
    host: str = DEFAULT_HOST,
    port: int = 0,
    name: str | None = None,
    limits: Limits | None = None,
    device: str = "cpu",
) -> Iterator[str]:
    """Serve on a thread of this process; yields the base URL, ``http://127.0.0.1:PORT/v1``."""
    server = _server(folder, host, port, name, limits, device)
    ready = threading.Event()
    server.ready = ready
    thread = threading.Thread(target=_run, args=(server,), name="vlm-server", daemon=True)
    thread.start()
    ready.wait()
    if not server.started:
        thread.join()
        raise ModelUnavailableError(f"the model server did not start on {host}:{port}")
    try:
        bound = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://{host}:{bound}/v1"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """A server that says when it listens, or that it never will."""

    ready: threading.Event | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.ready is not None:
            self.ready.set()


def _run(server: _Server) -> None:
    try:
        server.run()
    except SystemExit as stopped:
        # uvicorn leaves this way when the port is taken; ``serving`` reports it.
        if stopped.code in (0, None):
            raise
    finally:
        if server.ready is not None:
            server.ready.set()


def _server(
    folder: Path, host: str, port: int, name: str | None, limits: Limits | None, device: str
) -> _Server:
    if not (folder / "config.json").is_file():
        raise ConfigurationError(f"{str(folder)!r} holds no model: it has no config.json")
    app = create_app(folder, name=name, limits=limits, device=device)
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_level="warning",
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_STOP_S,
        server_header=False,
    )
    return _Server(config)
