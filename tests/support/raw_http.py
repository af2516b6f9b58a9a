"""Bytes sent to a server without an HTTP client."""

from __future__ import annotations

import asyncio


async def exchange(base_url: str, data: bytes) -> bytes:
    """Send bytes and return all that comes back, within 30 seconds.

    A server that refuses a request may reset the connection, because it has not read all of it.
    """
    host, _, port = base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        return await asyncio.wait_for(_read_all(reader), 30)
    finally:
        writer.close()


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    received = b""
    try:
        while piece := await reader.read(65_536):
            received += piece
    except ConnectionResetError:
        pass
    return received
