"""Answers commands of a terminal on a private socket; see `command_socket`."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import logging
import os
import secrets
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from mcp import Client
from mcp.types import TextContent

from sightline.server.config import Settings
from sightline.server.lazy_resource import is_patient
from sightline.server.mcp_server.command_socket import (
    MAX_PATH_BYTES,
    SUFFIX,
    command_folder,
    is_private,
    server_identity,
)
from sightline.server.mcp_server.server import SightlineServer
from sightline.tools.shared.tool_results import read_images, read_result

logger = logging.getLogger(__name__)

#: A call may have a picture in base64.
_MAX_REQUEST_BYTES = 8 << 20
_REQUEST_SECONDS = 10.0
_PEER_CREDENTIALS = struct.Struct("3i")  # process, user, group


@asynccontextmanager
async def listen_for_commands(server: SightlineServer, settings: Settings) -> AsyncIterator[None]:
    """Answer commands during the block.

    Without a usable folder, there is a warning, and commands run by themselves.
    """
    try:
        path = await asyncio.to_thread(_new_socket_path, settings)
        listener = _CommandListener(server, settings)
        listening = await asyncio.start_unix_server(
            listener.answer, str(path), limit=_MAX_REQUEST_BYTES
        )
    except OSError as error:
        logger.warning("commands in a terminal cannot use this server: %s", error)
        yield
        return
    try:
        path.chmod(0o600)
        yield
    finally:
        path.unlink(missing_ok=True)
        listening.close()
        await listener.close()


def _new_socket_path(settings: Settings) -> Path:
    """Return a free path in the private folder; remove sockets that nobody listens on."""
    folder = command_folder(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_private(folder):
        raise PermissionError(errno.EACCES, "is no private folder of this account", str(folder))
    path = folder / f"{secrets.token_hex(4)}{SUFFIX}"
    if len(os.fsencode(path)) > MAX_PATH_BYTES:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
    for other in folder.glob(f"*{SUFFIX}"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            try:
                connection.settimeout(1.0)
                connection.connect(str(other))
            except ConnectionRefusedError:
                other.unlink(missing_ok=True)
            except OSError:
                continue
    return path


class _CommandListener:
    """Runs one call for each connection; `close` cancels those that run."""

    def __init__(self, server: SightlineServer, settings: Settings) -> None:
        self._server = server
        self._identity = server_identity(settings)
        self._running: set[asyncio.Task[None]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the request of a connection. It has no other account: see `is_private`."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - asyncio runs it in a task
        self._running.add(task)
        try:
            await self._answer(reader, writer)
        except (OSError, ValueError, RecursionError) as error:
            logger.info("a command was not answered: %s", error)
        except asyncio.CancelledError:
            pass  # the server ends; the command then runs by itself
        finally:
            self._running.discard(task)
            writer.close()

    async def close(self) -> None:
        """Cancel the running calls and wait for their end."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with asyncio.timeout(_REQUEST_SECONDS):
            request = json.loads(await reader.readline())
        is_accepted = (
            isinstance(request, dict)
            and _is_same_account(writer)
            and request.get("server") == self._identity
        )
        await _send(writer, {"accepted": is_accepted})
        if not is_accepted:
            return
        if "tool" not in request:
            await _send(writer, {"page_url": self._server.page_url})
            return
        call = asyncio.create_task(self._call(request["tool"], request["arguments"]))
        gone = asyncio.create_task(reader.read(1))
        try:
            await asyncio.wait((call, gone), return_when=asyncio.FIRST_COMPLETED)
            if call.done():
                await _send(writer, call.result())
        finally:
            for task in (call, gone):
                task.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await task

    async def _call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        is_patient.set(True)  # in the context of this task
        async with Client(self._server) as client:
            result = await client.call_tool(tool, arguments)
        if result.is_error:
            texts = [block.text for block in result.content if isinstance(block, TextContent)]
            return {"error": " ".join(texts)}
        images = [base64.b64encode(each).decode("ascii") for each in read_images(result)]
        return {"result": read_result(result), "images": images}


def _is_same_account(writer: asyncio.StreamWriter) -> bool:
    """Return whether the other end is this account. Only Linux says so."""
    option = getattr(socket, "SO_PEERCRED", None)
    if option is None:
        return True
    peer = writer.get_extra_info("socket")
    credentials = peer.getsockopt(socket.SOL_SOCKET, option, _PEER_CREDENTIALS.size)
    return bool(_PEER_CREDENTIALS.unpack(credentials)[1] == os.geteuid())


async def _send(writer: asyncio.StreamWriter, message: dict[str, Any]) -> None:
    writer.write(json.dumps(message).encode() + b"\n")
    await writer.drain()
