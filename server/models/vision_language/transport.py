"""One HTTP request to the endpoint, and its errors.

A message for callers says what happened and the HTTP status. Address and text of the server are
details for the operator.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import httpx
from pydantic import JsonValue

from sightline.server.models.vision_language.circuit_breaker import (
    CircuitOpenError,
    parse_retry_after,
)
from sightline.server.models.vision_language.response_parser import parse_error_message
from sightline.server.models.vision_language.vlm_endpoint import VlmEndpoint
from sightline.storage.errors import (
    ModelError,
    ModelOverloadedError,
    ModelUnavailableError,
    describe,
)
from sightline.storage.tracing import inject_trace_context
from sightline.tools.vlm.vision_language_model import (
    ModelRefusedError,
    ModelReplyError,
    ModelTimeoutError,
    RequestTooLargeError,
)

_MAX_ERROR_BYTES = 64_000
_TOO_LONG = re.compile(
    r"context[ _]?(?:length|window|size)|too long|too many tokens|token count exceeds"
    r"|maximum model length|`inputs` tokens",
    re.IGNORECASE,
)
_TOO_MANY_IMAGES = re.compile(
    r"at most (?P<most>\d{1,4}) (?:image|picture|multimodal)"
    r"|(?P<one>(?:only|at most) (?:one|a single) image|multiple images (?:are )?not supported)"
    r"|too many images|number of (?:input )?images?\b.{0,40}(?:exceed|greater|limit)"
    r"|images?\b.{0,40}(?:exceed|more than) the (?:maximum|limit)",
    re.IGNORECASE | re.DOTALL,
)


@dataclass(eq=False)
class EndpointError(Exception):
    """A failed request. ``error`` is what callers get if it is not retried.

    ``retryable`` means 429, 5xx or a lost connection. ``unhealthy`` counts for the circuit breaker
    of the caller: its request may have caused it. ``unreachable``: no connection was possible, for
    any request. ``retry_after`` is the delay in seconds that the server asked for.
    """

    error: ModelError
    retryable: bool = False
    unhealthy: bool = False
    unreachable: bool = False
    retry_after: float | None = None
    status: int | None = None
    message: str = ""

    def __str__(self) -> str:
        return describe(self.error)


def is_connection_failure(error: BaseException) -> bool | None:
    """Return whether no connection was possible, ``None`` if that is unknown."""
    if not isinstance(error, EndpointError):
        return None
    # With a status, the endpoint has answered.
    return error.unreachable or (None if error.status is None else False)


def is_caller_failure(error: BaseException) -> bool | None:
    """Return whether the request failed, ``None`` if it did not reach the model."""
    if isinstance(error, EndpointError):
        return None if error.unreachable else error.unhealthy
    if isinstance(error, asyncio.CancelledError | CircuitOpenError):
        return None
    return isinstance(error, ModelTimeoutError | ModelReplyError)


class HttpTransport:
    """The HTTP side of a client: one connection pool for one endpoint."""

    def __init__(
        self, endpoint: VlmEndpoint, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        if transport is None and endpoint.is_builtin:
            from sightline.server.models.vision_language.builtin.builtin_transport import (
                BuiltinTransport,
            )

            transport = BuiltinTransport()
        self._endpoint = endpoint
        self._address = endpoint.shown
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
        headers: dict[str, str] = {}
        content = None
        inject_trace_context(headers)
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
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            unavailable = self._unavailable("cannot be reached", str(error) or type(error).__name__)
            raise EndpointError(unavailable, retryable=True, unreachable=True) from error
        except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
            closed = self._unavailable("closed the connection", str(error) or type(error).__name__)
            raise EndpointError(closed, retryable=True, unhealthy=True) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # Other problems of URL, headers or proxy would also fail on the next attempt.
            raise EndpointError(
                self._unavailable("cannot be requested", type(error).__name__), unhealthy=True
            ) from None  # the cause may contain the key

    def _unavailable(self, problem: str, reason: str) -> ModelUnavailableError:
        details = f"{self._address}: {reason}"
        return ModelUnavailableError(f"The vision-language model {problem}.", details=details)

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
        hint = ""
        if status in (401, 403):
            hint = ". Set SIGHTLINE_VLM__API_KEY to a valid key."
        elif response.is_redirect:
            hint = ". Redirects are not followed: set SIGHTLINE_VLM__BASE_URL to the target."
        details = f"{self._address}: {message}{hint}"
        error, retryable = _error_of_status(status, message, details)
        return EndpointError(
            error,
            retryable=retryable,
            unhealthy=status >= 500,
            retry_after=parse_retry_after(response.headers.get("retry-after")),
            status=status,
            message=message,
        )


def _error_of_status(status: int, message: str, details: str) -> tuple[ModelError, bool]:
    """Return the error and whether to retry."""
    shown = f"(HTTP {status})."
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        text = f"The vision-language model is overloaded {shown}"
        return ModelOverloadedError(text, details=details), True
    if status >= 500:
        return ModelUnavailableError(
            f"The vision-language model failed {shown}", details=details
        ), True
    if (images := _TOO_MANY_IMAGES.search(message[:2000])) is not None:
        most = int(images["most"]) if images["most"] else 1 if images["one"] else None
        text = f"The request has too many images for the vision-language model {shown}"
        return RequestTooLargeError(text, details=details, max_images=most), False
    if status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE or _TOO_LONG.search(message[:2000]):
        text = f"The request is too long for the vision-language model {shown}"
        return RequestTooLargeError(text, details=details), False
    text = f"The vision-language model refused the request {shown}"
    return ModelRefusedError(text, details=details), False


def _invalid_response(problem: str) -> EndpointError:
    error = ModelReplyError(f"The vision-language model {problem}.")
    return EndpointError(error, unhealthy=True)
