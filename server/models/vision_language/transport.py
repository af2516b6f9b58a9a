"""One HTTP request to the endpoint, and its errors."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from pydantic import JsonValue

from sightline.server.models.vision_language.circuit_breaker import parse_retry_after
from sightline.server.models.vision_language.response_parser import parse_error_message
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.storage.errors import ModelError, ModelOverloadedError, ModelUnavailableError
from sightline.tools.vlm.vision_language_model import ModelRefusedError, ModelReplyError

_MAX_ERROR_BYTES = 64_000


@dataclass(eq=False)
class EndpointError(Exception):
    """A failed request. ``error`` is what callers get if it is not retried.

    ``retryable`` means 429, 5xx or a lost connection. ``unhealthy`` counts for the circuit breaker.
    ``retry_after`` is the delay in seconds that the server asked for.
    """

    error: ModelError
    retryable: bool = False
    unhealthy: bool = False
    retry_after: float | None = None
    status: int | None = None
    message: str = ""

    def __str__(self) -> str:
        return str(self.error)


class HttpTransport:
    """The HTTP side of a client: one connection pool for one endpoint."""

    def __init__(
        self, endpoint: VlmEndpoint, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._endpoint = endpoint
        self._server = f"The model server at {endpoint.shown}"
        self._key = None if endpoint.api_key is None else endpoint.api_key.get_secret_value()
        # One more than the concurrency limit, so that a health check never waits.
        connections = endpoint.max_concurrent_requests + 1
        self._http = httpx.AsyncClient(
            transport=transport,
            # The caller sets a deadline for the whole call.
            timeout=httpx.Timeout(None, connect=endpoint.connect_timeout_seconds),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            # A redirect would send the API key to any host.
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        await self._http.aclose()

    async def request(self, path: str, body: Mapping[str, JsonValue] | None = None) -> bytes:
        """Send a GET request, or a POST request with ``body``. Return the response body.

        Raises `EndpointError`.
        """
        headers, content = {}, None
        if body is not None:
            headers["Content-Type"] = "application/json"
            # With images the body has megabytes.
            content = await asyncio.to_thread(json.dumps, body, separators=(",", ":"))
        if self._key is not None:
            headers["Authorization"] = f"Bearer {self._key}"
        method = "GET" if body is None else "POST"
        url = self._endpoint.api_url + path
        try:
            async with self._http.stream(method, url, content=content, headers=headers) as response:
                if response.is_success:
                    return await self._read_body(response, self._endpoint.max_response_bytes)
                raise await self._error_response(response)
        except (httpx.NetworkError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            reason = str(error) or type(error).__name__
            raise _lost_connection(f"{self._server} cannot be reached: {reason}") from error
        except httpx.RemoteProtocolError as error:
            raise _lost_connection(f"{self._server} closed the connection: {error}") from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # Other problems of URL, headers or proxy would also fail on the next attempt.
            raise EndpointError(
                ModelUnavailableError(
                    f"{self._server} cannot be requested: {type(error).__name__}"
                ),
                unhealthy=True,
            ) from None  # the cause may contain the key

    async def _read_body(self, response: httpx.Response, max_bytes: int) -> bytes:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise _invalid_response(f"sent a compressed response ({encoding[:40]!r})")
        data = bytearray()
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > max_bytes:
                raise _invalid_response(f"sent more than {max_bytes:,} bytes")
        return bytes(data)

    async def _error_response(self, response: httpx.Response) -> EndpointError:
        """Convert a response without success status to an error."""
        status = response.status_code
        try:
            message = parse_error_message(await self._read_body(response, _MAX_ERROR_BYTES))
        except EndpointError:
            message = "(the error is too long or compressed)"
        if self._key:
            # A server may repeat the key that it rejects.
            message = message.replace(self._key, "***")
        server = self._server
        retry_after = parse_retry_after(response.headers.get("retry-after"))
        if status == HTTPStatus.TOO_MANY_REQUESTS:
            overloaded = ModelOverloadedError(f"{server} is overloaded: {message}")
            return EndpointError(overloaded, retryable=True, retry_after=retry_after)
        if status >= 500:
            failed = ModelUnavailableError(f"{server} failed ({status}): {message}")
            return EndpointError(failed, retryable=True, unhealthy=True, retry_after=retry_after)
        if status in (401, 403):
            hint = ". Set SIGHTLINE_VLM__API_KEY to a valid key."
        elif response.is_redirect:
            hint = ". Redirects are not followed: set SIGHTLINE_VLM__BASE_URL to the target."
        else:
            hint = ""
        return EndpointError(
            ModelRefusedError(f"{server} rejected the request ({status}): {message}{hint}"),
            status=status,
            message=message,
        )


def _lost_connection(message: str) -> EndpointError:
    return EndpointError(ModelUnavailableError(message), retryable=True, unhealthy=True)


def _invalid_response(problem: str) -> EndpointError:
    return EndpointError(ModelReplyError(f"The model server {problem}"), unhealthy=True)
