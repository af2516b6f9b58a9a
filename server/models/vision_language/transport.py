"""One HTTP request to the endpoint, and what can go wrong with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import httpx
from pydantic import JsonValue, SecretStr

from sightline.server.models.vision_language.response_parser import error_message
from sightline.server.models.vision_language.retry import retry_after
from sightline.server.models.vision_language.vlm_endpoint import Endpoint
from sightline.storage.errors import ModelError, ModelOverloadedError, ModelUnavailableError
from sightline.tools.vlm.vision_language_model import ModelRefusedError, ModelReplyError

_OVERLOADED = 429
_NOT_FOUND = 404
#: An error that says more than this says nothing.
_ERROR_BYTES = 64_000


class Failure(Exception):  # noqa: N818 - it ends in this package; callers get its `error`
    """A request that brought no answer. ``error`` is what callers get when it is given up.

    ``worth_retrying`` is 429, 5xx and loss of the connection. ``unhealthy`` tells against the
    endpoint as a whole. ``asked_seconds`` is the pause that it asked for.
    """

    def __init__(
        self,
        error: ModelError,
        *,
        worth_retrying: bool = False,
        unhealthy: bool = False,
        asked_seconds: float | None = None,
        status: int | None = None,
        message: str = "",
    ) -> None:
        super().__init__(str(error))
        self.error = error
        self.worth_retrying = worth_retrying
        self.unhealthy = unhealthy
        self.asked_seconds = asked_seconds
        self.status = status
        self.message = message


class Exchange:
    """The HTTP side of a client: one pool of connections, to one endpoint."""

    def __init__(
        self, endpoint: Endpoint, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._endpoint = endpoint
        self._http = httpx.AsyncClient(
            transport=transport,
            # Deadlines bound a whole call; here only reaching the server has its own.
            timeout=httpx.Timeout(None, connect=endpoint.connect_seconds),
            limits=httpx.Limits(
                # One more than may ask at once, so that a look at its health never waits.
                max_connections=endpoint.concurrency + 1,
                max_keepalive_connections=endpoint.concurrency + 1,
            ),
            # A redirect would take the key to wherever an answer points.
            follow_redirects=False,
            headers={"Accept": "application/json", "Accept-Encoding": "identity"},
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def post(self, path: str, body: Mapping[str, JsonValue]) -> bytes:
        """The body of a successful answer; raises `Failure`."""
        # Pictures make it megabytes long.
        content = await asyncio.to_thread(_encoded, body)
        return await self._request("POST", path, content)

    async def get(self, path: str) -> bytes:
        """The body of a successful answer; raises `Failure`."""
        return await self._request("GET", path, None)

    async def _request(self, method: str, path: str, content: bytes | None) -> bytes:
        headers = {"Content-Type": "application/json"} if content is not None else {}
        key = self._endpoint.api_key
        if key is not None:
            headers["Authorization"] = f"Bearer {key.get_secret_value()}"
        url = self._endpoint.api_url + path
        shown_url = self._endpoint.shown
        try:
            async with self._http.stream(method, url, content=content, headers=headers) as response:
                if response.is_success:
                    return await self._body(response, self._endpoint.reply_bytes)
                raise await self._refusal(response)
        except (httpx.NetworkError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            reason = str(error) or type(error).__name__
            raise _lost(f"the model's server at {shown_url} cannot be reached: {reason}") from error
        except httpx.RemoteProtocolError as error:
            raise _lost(
                f"the model's server at {shown_url} broke off its answer: {error}"
            ) from error
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            # Whatever else a URL, a header or a proxy may be wrong in: the next try would be too.
            raise Failure(
                ModelUnavailableError(
                    f"the model's server at {shown_url} cannot be asked: {type(error).__name__}"
                ),
                unhealthy=True,
            ) from None  # the cause may hold the key

    async def _body(self, response: httpx.Response, most: int) -> bytes:
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise _bad(f"compressed its answer ({encoding[:40]!r}) though asked not to")
        data = bytearray()
        async for chunk in response.aiter_bytes():
            data += chunk
            if len(data) > most:
                raise _bad(f"sent more than {most:,} bytes")
        return bytes(data)

    async def _refusal(self, response: httpx.Response) -> Failure:
        """What an answer without success means."""
        status = response.status_code
        try:
            said = error_message(await self._body(response, _ERROR_BYTES))
        except Failure:
            said = "(an error that is too long or compressed)"
        said = _without_key(said, self._endpoint.api_key)
        where = self._endpoint.shown
        if status == _OVERLOADED:
            return Failure(
                ModelOverloadedError(f"the model's server at {where} has no room now: {said}"),
                worth_retrying=True,
                asked_seconds=retry_after(response.headers.get("retry-after")),
                status=status,
            )
        if status >= 500:
            return Failure(
                ModelUnavailableError(f"the model's server at {where} failed ({status}): {said}"),
                worth_retrying=True,
                unhealthy=True,
                asked_seconds=retry_after(response.headers.get("retry-after")),
                status=status,
            )
        if status in (401, 403):
            hint = "; set SIGHTLINE_VLM_API_KEY to a key that it takes"
        elif response.is_redirect:
            hint = "; redirects are not followed: set SIGHTLINE_VLM_BASE_URL to where it points"
        else:
            hint = ""
        return Failure(
            ModelRefusedError(
                f"the model's server at {where} refused the request ({status}): {said}{hint}"
            ),
            status=status,
            message=said,
        )


def _encoded(body: Mapping[str, JsonValue]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode("ascii")


def not_found(failure: Failure) -> bool:
    """Whether the endpoint knows no such model, or no such path."""
    return failure.status == _NOT_FOUND


@asynccontextmanager
async def failing_with(error: ModelError, until: float) -> AsyncIterator[None]:
    """Raise ``error`` when the event loop's clock reaches ``until`` before the block ends."""
    try:
        async with asyncio.timeout_at(until):
            yield
    except TimeoutError as timeout:
        raise error from timeout


def _lost(message: str) -> Failure:
    return Failure(ModelUnavailableError(message), worth_retrying=True, unhealthy=True)


def _bad(what: str) -> Failure:
    return Failure(ModelReplyError(f"the model's server {what}"), unhealthy=True)


def _without_key(text: str, key: SecretStr | None) -> str:
    """A server may repeat the key that it refuses."""
    secret = key.get_secret_value() if key is not None else ""
    return text.replace(secret, "***") if secret else text
