"""Runs the server in the foreground (``sightline vlm builtin``) or on a thread."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from sightline.server.models.model_server.builtin.openai_app import BUILTIN_VLM, create_app
from sightline.server.models.model_server.builtin.request_limits import RequestLimits
from sightline.storage.errors import ConfigurationError, ModelUnavailableError

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8377
_SHUTDOWN_TIMEOUT_SECONDS = 5
#: Longer than clients keep idle connections, so that no request meets a closing connection.
_KEEP_ALIVE_SECONDS = 75


def run_server(
    folder: Path = BUILTIN_VLM,
    *,
    host: str = DEFAULT_HOST,
    port: int = DEFAULT_PORT,
    name: str | None = None,
    device: str = "cpu",
) -> int:
    """Serve until interrupted. There is no authentication: keep it on loopback."""
    _create_server(folder, host, port, name, None, device).run()
    return 0


@contextlib.contextmanager
def run_server_in_thread(
    folder: Path = BUILTIN_VLM,
    *,
    host: str = DEFAULT_HOST,
    port: int = 0,
    name: str | None = None,
    limits: RequestLimits | None = None,
    device: str = "cpu",
) -> Iterator[str]:
    """Serve on a thread and yield the base URL, ``http://127.0.0.1:PORT/v1``."""
    server = _create_server(folder, host, port, name, limits, device)
    thread = threading.Thread(target=_run, args=(server,), name="vlm-server", daemon=True)
    thread.start()
    server.started_or_failed.wait()
    if not server.started:
        thread.join()
        raise ModelUnavailableError(f"the model server did not start on {host}:{port}")
    try:
        bound_port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://{host}:{bound_port}/v1"
    finally:
        server.should_exit = True
        thread.join()


class _Server(uvicorn.Server):
    """A server with an event that is set when it listens or has failed."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_or_failed = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.started_or_failed.set()


def _run(server: _Server) -> None:
    try:
        server.run()
    except SystemExit as exit_:
        # uvicorn exits when the port is in use; the caller raises the error.
        if exit_.code in (0, None):
            raise
    finally:
        server.started_or_failed.set()


def _create_server(
    folder: Path,
    host: str,
    port: int,
    name: str | None,
    limits: RequestLimits | None,
    device: str,
) -> _Server:
    if not (folder / "config.json").is_file():
        raise ConfigurationError(f"{str(folder)!r} has no model: config.json is missing.")
    return _Server(
        uvicorn.Config(
            create_app(folder, name=name, limits=limits, device=device),
            host=host,
            port=port,
            log_level="warning",
            timeout_keep_alive=_KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=_SHUTDOWN_TIMEOUT_SECONDS,
            server_header=False,
        )
    )
