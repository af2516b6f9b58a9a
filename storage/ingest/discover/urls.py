"""Fetch files by URL from allowed hosts only (protection against SSRF).

The host is resolved once, the IP address is checked, and the connection goes to that address, so a
second DNS answer has no effect. Every redirect is checked like a new URL. Proxies of the
environment are not used: they would resolve names again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence

import httpx

from sightline.storage.errors import InvalidArgumentError, MediaError, NotAllowedError, shown
from sightline.storage.ingest.discover.input_paths import RemoteFile
from sightline.storage.ingest.ingest_options import HTTPS_PORT, UrlPolicy

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {"User-Agent": "sightline", "Accept": "*/*", "Accept-Encoding": "identity"}


async def resolve_host(host: str, port: int) -> Sequence[str]:
    """Return the IP addresses of a host from the system resolver. Raises OSError."""
    loop = asyncio.get_running_loop()
    addresses = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in addresses]


class UrlFetcher:
    """Turns URLs into files. ``resolve`` and ``context`` default to the system's."""

    def __init__(
        self,
        policy: UrlPolicy,
        *,
        resolve: Resolve = resolve_host,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._policy = policy
        self._resolve = resolve
        self._context = context

    def remote_file(self, url: str) -> RemoteFile:
        """Return the input for `ingest`, which fetches it later, in the calling thread.

        The name is the URL without its query, which may contain a key. Raises
        InvalidArgumentError and NotAllowedError.
        """
        target = self._check_url(url)
        return RemoteFile(_name(target), lambda: asyncio.run(self._fetch(target)))

    def _check_url(self, url: str) -> httpx.URL:
        try:
            target = httpx.URL(url.strip())
            port = target.port or HTTPS_PORT
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise InvalidArgumentError(f"{shown(url[:200])} is not a URL: {error}") from error
        if target.scheme != "https" or not target.host or target.userinfo:
            raise NotAllowedError(
                f"{shown(_name(target))} was not fetched: give an https:// URL without a user name "
                "and password"
            )
        if not self._policy.allows_host(target.host.lower(), port):
            raise NotAllowedError(
                f"{shown(_name(target))} was not fetched: this server only fetches from "
                f"{', '.join(self._policy.hosts) or 'no host'} (SIGHTLINE_URLS__ALLOWED_HOSTS)"
            )
        return target

    async def _fetch(self, target: httpx.URL) -> bytes:
        seconds = self._policy.timeout_seconds
        try:
            async with asyncio.timeout(seconds):
                for _ in range(_MAX_REDIRECTS + 1):
                    answer = await self._get(target)
                    if isinstance(answer, bytes):
                        return answer
                    target = self._check_url(str(target.join(answer)))
        except TimeoutError as error:
            raise MediaError("timeout", f"was not fetched within {seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            reason = str(error) or type(error).__name__
            raise MediaError("unreachable", f"could not be fetched: {reason[:200]}") from error
        except (NotAllowedError, InvalidArgumentError) as error:
            raise MediaError(
                "not_allowed", f"redirects to a URL that is refused: {error}"
            ) from error
        raise MediaError("redirects", f"redirects more than {_MAX_REDIRECTS} times")

    async def _get(self, target: httpx.URL) -> bytes | str:
        """Return the body of one response, or the URL that it redirects to."""
        address = await self._checked_address(target)
        verify = self._context or httpx.create_ssl_context()
        async with httpx.AsyncClient(
            trust_env=False, verify=verify, timeout=self._policy.timeout_seconds
        ) as client:
            request = client.build_request(
                "GET",
                target.copy_with(host=address),
                headers={**_HEADERS, "Host": target.netloc.decode("ascii")},
                # The certificate must match the host name, not the IP address.
                extensions={"sni_hostname": target.raw_host.decode("ascii")},
            )
            response = await client.send(request, stream=True)
            try:
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    return str(response.headers["location"])
                return await self._body(response)
            finally:
                await response.aclose()

    async def _checked_address(self, target: httpx.URL) -> str:
        """Return one IP address of a host, if all of them are allowed."""
        addresses = await self._resolve(target.host, target.port or HTTPS_PORT)
        refused = [each for each in addresses if not self._policy.allows_address(each)]
        if refused or not addresses:
            raise MediaError(
                "not_allowed",
                f"is at {target.host}, which is not a public address; set "
                "SIGHTLINE_URLS__ALLOWED_NETWORKS to allow private networks",
            )
        return addresses[0]

    async def _body(self, response: httpx.Response) -> bytes:
        if response.status_code != 200:
            raise MediaError("http_status", f"returns HTTP status {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise MediaError("unsupported", "is sent compressed, which was not requested")
        max_bytes = self._policy.max_bytes
        too_large = MediaError("too_large", f"has more than {max_bytes:,} bytes, the limit")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length) > max_bytes:
            raise too_large
        data = bytearray()
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > max_bytes:
                raise too_large
        if not data:
            raise MediaError("empty", "has no bytes")
        return bytes(data)


def _name(target: httpx.URL) -> str:
    return str(target.copy_with(userinfo=b"", query=None, fragment=None))
