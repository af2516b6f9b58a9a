"""A test authorization server that publishes keys over HTTP and signs tokens."""

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
    """Serves ``published`` as JSON, or unchanged if it is bytes."""

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
        """Listen; after `stop`, listen at the same address again."""
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
    """An RSA key pair with a key id."""

    algorithm = "RS256"

    def __init__(self, kid: str | None, bits: int = 2048) -> None:
        self.kid = kid
        self.private: Any = rsa.generate_private_key(65537, bits)

    @property
    def public(self) -> dict[str, Any]:
        """Return the JSON Web Key."""
        return self._with_kid(RSAAlgorithm.to_jwk(self.private.public_key(), as_dict=True))

    def _with_kid(self, key: dict[str, Any]) -> dict[str, Any]:
        key.pop("key_ops", None)
        return key if self.kid is None else {**key, "kid": self.kid}

    def token(self, headers: dict[str, Any] | None = None, **claims: Any) -> str:
        """Sign a valid token, changed by ``claims`` (None removes a claim)."""
        kid = {} if self.kid is None else {"kid": self.kid}
        return jwt.encode(
            payload(**claims),
            self.private,
            algorithm=self.algorithm,
            headers={**kid, **(headers or {})},
        )


class EcKey(RsaKey):
    """A key pair on the curve P-256."""

    algorithm = "ES256"

    def __init__(self, kid: str | None) -> None:
        self.kid = kid
        self.private = ec.generate_private_key(ec.SECP256R1())

    @property
    def public(self) -> dict[str, Any]:
        return self._with_kid(ECAlgorithm.to_jwk(self.private.public_key(), as_dict=True))


def payload(**claims: Any) -> dict[str, Any]:
    now = int(time.time())
    valid = {
        "iss": "https://login.example/",
        "aud": AUDIENCE,
        "sub": SUBJECT,
        "iat": now,
        "exp": now + 300,
        "scope": "openid read write",
    }
    return {name: value for name, value in (valid | claims).items() if value is not None}


@asynccontextmanager
async def run_issuer(*keys: RsaKey) -> AsyncIterator[Issuer]:
    """Run an issuer that publishes the keys."""
    issuer = Issuer()
    issuer.published = {"keys": [key.public for key in keys]}
    await issuer.start()
    try:
        yield issuer
    finally:
        await issuer.stop()
