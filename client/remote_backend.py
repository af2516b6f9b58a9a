"""Searches and tools of a server, over streamable HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx2
import numpy as np
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client
from mcp.types import CallToolResult
from numpy.typing import NDArray

from sightline.client.local_backend import load_cross_encoder
from sightline.client.tool_replies import image_page, parse_reply, text_page, to_results
from sightline.client.tool_session import ConnectionFailedError, ToolSession
from sightline.server.config import load_settings
from sightline.storage.errors import ConfigurationError, InvalidArgumentError, shown
from sightline.storage.retrieval import (
    ImageRequest,
    PassageRequest,
    RerankModel,
    SearchResults,
    Selection,
)
from sightline.storage.retrieval.hydrate.search_hit import SearchHit
from sightline.storage.types import Level

_CONNECT_SECONDS: Final = 30
# For the end of the session, which the server confirms.
_CLOSE_SECONDS: Final = 5
# Of a reply that is no event stream; a result of a tool has about one million.
_MAX_REPLY_BYTES: Final = 16_000_000
_STATUS_HELP: Final = {
    401: "the server refused the token. Give a valid token",
    403: "the server refuses access. Check the token's scopes and the host name",
    404: "there is no MCP server at this address. Give its path too, such as https://host/mcp",
    429: "too many requests. Try again later",
}


class RemoteBackend:
    """Searches with the tools of a server."""

    def __init__(self, session: ToolSession, open_: ExitStack) -> None:
        self._session = session
        self._open = open_
        self._rerankers: dict[str, RerankModel] = {}

    async def search_images(self, request: ImageRequest) -> SearchResults[SearchHit]:
        arguments = _selection_arguments(request.selection) | {
            "query": request.query,
            "visual_weight": request.visual_weight,
            "diversity": request.diversity,
            "limit": request.limit,
            "cursor": request.cursor,
        }
        return to_results(image_page(await self._call("search_images", arguments)))

    async def search_passages(self, request: PassageRequest) -> SearchResults[SearchHit]:
        arguments = _selection_arguments(request.selection) | {
            "query": request.query,
            "limit": request.limit,
            "cursor": request.cursor,
        }
        return to_results(text_page(await self._call("search_text", arguments)))

    async def embed(
        self, texts: Sequence[str], level: Level, collection: str | None
    ) -> NDArray[np.float16]:
        del texts, level, collection
        raise ConfigurationError(
            "A server returns no vectors. Use Sightline() without an address on the machine of the "
            "models, or the command sightline embed there."
        )

    async def call_tool(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        return await self._session.call(tool, arguments)

    async def load_reranker(self, model: str | None) -> RerankModel:
        if model is None:
            raise ConfigurationError(
                "The server reranks its own results if it is configured so. To rerank here, name a "
                "model, such as reranker('local-dir:PATH')."
            )
        if model not in self._rerankers:
            self._rerankers[model] = await load_cross_encoder(model, load_settings(), self._open)
        return self._rerankers[model]

    async def _call(self, tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value not in (None, "")}
        result = await self.call_tool(tool, {**given, "detail": "detailed"})
        return parse_reply(tool, result).data


@asynccontextmanager
async def open_remote(
    url: str, token: str | None, timeout_seconds: float
) -> AsyncIterator[RemoteBackend]:
    """Connect to a server. Raises InvalidArgumentError or ConnectionFailedError."""
    connector = _Connector(_checked_url(url), _headers(token), timeout_seconds)
    with ExitStack() as open_:
        async with ToolSession(connector.connect, connector.url, connector.explain) as session:
            yield RemoteBackend(session, open_)


@dataclass(eq=False)
class _Connector:
    """Opens MCP clients of one server, and remembers the last HTTP error status."""

    url: str
    headers: dict[str, str]
    timeout_seconds: float
    _error_status: int | None = field(default=None, init=False)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[Client]:
        """Connect within ``timeout_seconds``, with all requests that it takes."""
        self._error_status = None
        seconds, now = self.timeout_seconds, asyncio.get_running_loop().time
        try:
            async with (
                asyncio.timeout(seconds + _CLOSE_SECONDS) as closing,
                asyncio.timeout(seconds) as connecting,
                _LimitedClient(
                    headers=self.headers,
                    timeout=httpx2.Timeout(_CONNECT_SECONDS, read=seconds),
                    event_hooks={"response": [self._remember]},
                ) as http_client,
                Client(
                    streamable_http_client(self.url, http_client=http_client),
                    read_timeout_seconds=seconds,
                ) as client,
            ):
                connecting.reschedule(None)
                closing.reschedule(None)
                try:
                    yield client
                finally:
                    closing.reschedule(now() + _CLOSE_SECONDS)
        except TimeoutError as error:
            raise ConnectionFailedError(
                f"{self.url}: the server did not complete the connection in {seconds:g} s."
            ) from error

    def explain(self, error: BaseException) -> ConnectionFailedError | None:
        """Return the error of a failed connection, None for a message of the server."""
        status = self._error_status
        if status is not None:
            reason = f"{_STATUS_HELP.get(status, 'the server failed')} (HTTP {status})"
        elif isinstance(error, MCPError):
            return None
        else:
            reason = f"the server cannot be reached: {error or type(error).__name__}"
        return ConnectionFailedError(f"{self.url}: {reason}.")

    async def _remember(self, response: httpx2.Response) -> None:
        self._error_status = response.status_code if response.is_error else None


class _ReplyTooLargeError(httpx2.StreamError):
    """The MCP SDK passes it on as the error of the call, and the session stays open."""


class _LimitedClient(httpx2.AsyncClient):
    """Limits the decoded size of replies.

    The MCP SDK reads a reply that is no event stream as a whole.
    """

    async def send(self, request: httpx2.Request, **options: Any) -> httpx2.Response:
        response = await super().send(request, **options)
        if response.headers.get("content-type", "").lower().startswith("text/event-stream"):
            return response  # the SDK limits each event
        headers = response.headers.copy()
        for name in ("content-encoding", "content-length", "transfer-encoding"):
            headers.pop(name, None)
        limited = httpx2.Response(
            response.status_code,
            headers=headers,
            stream=_LimitedBody(response),
            request=response.request,
            extensions=response.extensions,
            history=response.history,
        )
        limited.next_request = response.next_request
        return limited


@dataclass(frozen=True, slots=True)
class _LimitedBody(httpx2.AsyncByteStream):
    """The decoded body of a response; raises _ReplyTooLargeError."""

    response: httpx2.Response

    async def __aiter__(self) -> AsyncIterator[bytes]:
        size = 0
        async for part in self.response.aiter_bytes():
            size += len(part)
            if size > _MAX_REPLY_BYTES:
                raise _ReplyTooLargeError(
                    f"the reply has more than {_MAX_REPLY_BYTES:,} bytes, the limit of this client"
                )
            yield part

    async def aclose(self) -> None:
        await self.response.aclose()


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise InvalidArgumentError(
            f"{shown(url)} is no address of a server. Give one such as 'https://host/mcp'."
        )
    if parts.username or parts.password:
        raise InvalidArgumentError("Give the secret in 'token', and not in the address.")
    return url


def _headers(token: str | None) -> dict[str, str]:
    if token is None:
        return {}
    if not token or not token.isascii() or any(each.isspace() for each in token):
        raise InvalidArgumentError(
            "The token is empty or has spaces or characters that no token has. Give it without its "
            "name and without 'Bearer'."
        )
    return {"Authorization": f"Bearer {token}"}


def _selection_arguments(selection: Selection) -> dict[str, Any]:
    return {
        "collection": (selection.collections or ("",))[0],
        "filters": selection.filters and dict(selection.filters),
        "captured_after": selection.captured_after,
        "captured_before": selection.captured_before,
        "kinds": selection.kinds and list(selection.kinds),
    }
