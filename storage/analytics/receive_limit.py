"""Limits the bytes that a Postgres connection receives.

Rows, errors and notices count together: libpq holds each message whole, however large, and an error
message quotes the value that it is about.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sightline.storage.db.queries import Connection

_CHUNK_BYTES = 64 * 1024


@dataclass(slots=True)
class ReceiveMeter:
    """Counts the bytes that Postgres has sent."""

    max_bytes: int
    received: int = 0

    @property
    def exceeded(self) -> bool:
        """Whether the limit was exceeded, which closes the connection."""
        return self.received > self.max_bytes


@asynccontextmanager
async def limit_received_bytes(
    connection: Connection, max_bytes: int
) -> AsyncIterator[ReceiveMeter]:
    """Cut an open connection when it has received more bytes.

    Puts a socket pair under the descriptor that libpq uses, and copies between its other end and
    the real socket. This works for every kind of connection, also an encrypted one. Closes the
    connection after the block.
    """
    meter = ReceiveMeter(max_bytes)
    descriptor = connection.fileno()
    server = socket.socket(fileno=os.dup(descriptor))
    client, for_libpq = socket.socketpair()
    with for_libpq:
        for each in (server, client, for_libpq):
            each.setblocking(False)
        os.dup2(for_libpq.fileno(), descriptor, inheritable=False)
    server_reader, server_writer = await asyncio.open_connection(sock=server)
    client_reader, client_writer = await asyncio.open_connection(sock=client)
    receive = asyncio.create_task(_copy(server_reader, client_writer, meter))
    send = asyncio.create_task(_copy(client_reader, server_writer))
    try:
        yield meter
    finally:
        await connection.close()
        await asyncio.wait({send})  # ends when libpq has closed its end
        receive.cancel()
        await asyncio.wait({receive})
        for writer in (server_writer, client_writer):
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, meter: ReceiveMeter | None = None
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(_CHUNK_BYTES):
            if meter is not None:
                meter.received += len(data)
                if meter.exceeded:
                    break
            writer.write(data)
            await writer.drain()
    writer.close()
