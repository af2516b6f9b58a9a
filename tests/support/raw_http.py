"""Bytes sent to a server without an HTTP client."""

from __future__ import annotations

import asyncio


async def exchange(base_url: str, data: bytes) -> bytes:
    """Send bytes and return all that comes back until the server closes, within 30 seconds."""
    host, _, port = base_url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        await writer.drain()
        return await asyncio.wait_for(reader.read(), 30)
    finally:
        writer.close()
