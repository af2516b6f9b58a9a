"""An authorisation server: keys of its own, served over real HTTP, and tokens signed with them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

AUDIENCE = "https://eyes.example/mcp"
SUBJECT = "ada"


class Issuer:
    """Publishes what is in ``published``, byte for byte where that is bytes."""

    def __init__(self) -> None:
        self.url = ""
        self.fetches = 0
        self.status = 200
        self.published: dict[str, Any] | bytes = {"keys": []}
        self._server: asyncio.Server | None = None
        self._port = 0

    @property
    def name(self) -> str:
        return "https://login.example/"

    async def start(self) -> None:
        """Listen; a second time at the same address."""
        self._server = await asyncio.start_server(self._answer, "127.0.0.1", self._port)
        self._port = self._server.sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}/keys"

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        self.fetches += 1
        body = self.published
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = f"HTTP/1.1 {self.status} X\r\nContent-Length: {len(data)}\r\nConnection: close\r\n"
        writer.write(f"{head}\r\n".encode() + data)
        await writer.drain()
        writer.close()


class RsaKey:
    """A key pair with its id."""

    algorithm = "RS256"

    def __init__(self, kid: str | None, bits: int = 2048) -> None:
        self.kid = kid
        self.private: Any = rsa.generate_private_key(65537, bits)

    @property
    def public(self) -> dict[str, Any]:
        """As it is published."""
        return self._named(RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True))

    def _named(self, key: dict[str, Any]) -> dict[str, Any]:
        key.pop("key_ops", None)
        return key if self.kid is None else {**key, "kid": self.kid}

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """A token that holds, but for what ``claims`` change in it (``None`` leaves one out)."""
        named = {} if self.kid is None else {"kid": self.kid}
        return jwt.encode(
            payload(**claims),
            self.private,
            algorithm=self.algorithm,
            headers={**named, **(headers or {})},
        )


class EcKey(RsaKey):
    """The same on the curve P-256."""

    algorithm = "ES256"

    def __init__(self, kid: str | None) -> None:
        self.kid = kid
        self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> dict[str, Any]:
        return self._named(ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True))


def payload(**claims: Any) -> dict[str, Any]:
    now = int(time.time())
    right = {
        "iss": "https://login.example/",
        "aud": AUDIENCE,
        "sub": SUBJECT,
        "iat": now,
        "exp": now + 300,
        "scope": "openid read write",
    }
    return {name: value for name, value in (right | claims).items() if value is not None}


@asynccontextmanager
async def issuing(*keys: RsaKey) -> AsyncIterator[Issuer]:
    """An issuer that publishes the keys."""
    issuer = Issuer()
    issuer.published = {"keys": [key.public for key in keys]}
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()
