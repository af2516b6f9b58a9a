"""Fetch a file by its address, from the hosts that the operator named and from nowhere else.

The resolved address is checked, and the connection is made to that very address: a name that
resolves to something else a moment later leads nowhere. A redirect is a new address, checked from
the beginning. The proxies of the environment are not used, for they would resolve names again.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from functools import partial

import httpx

from sightline.storage.errors import InvalidArgumentError, MediaError, NotAllowedError, shown
from sightline.storage.ingest.discover.discovered_file import Remote
from sightline.storage.ingest.discover.public_addresses import HTTPS_PORT, Allowed

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]

_MOST_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
_HEADERS = {"User-Agent": "sightline", "Accept": "*/*", "Accept-Encoding": "identity"}


async def resolve(host: str, port: int) -> Sequence[str]:
    """The IP addresses of a host, as the system resolves it. Raises OSError."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(address[0]) for *_, address in found]


class Urls:
    """Makes things to ingest of addresses. ``resolve`` and ``context`` are the system's unless
    given.
    """

    def __init__(
        self,
        allowed: Allowed,
        *,
        resolve: Resolve = resolve,
        context: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._resolve = resolve
        self._context = context

    def remote(self, url: str) -> Remote:
        """What to hand to `ingest`; it is fetched when its turn comes, in the thread that asks.

        Its name is the address without its query, which may hold a key. Raises
        InvalidArgumentError and NotAllowedError.
        """
        target = self._target(url)
        return Remote(_name(target), partial(self._load, target))

    def _target(self, url: str) -> httpx.URL:
        try:
            target = httpx.URL(url.strip())
            port = target.port or HTTPS_PORT
        except (httpx.InvalidURL, ValueError, TypeError) as error:
            raise InvalidArgumentError(f"{shown(url[:200])} is not an address: {error}") from error
        if target.scheme != "https" or not target.host or target.userinfo:
            raise NotAllowedError(
                f"{shown(_name(target))} was not fetched: give an https:// address without a name "
                "and password in it"
            )
        if not self._allowed.names(target.host.lower(), port):
            raise NotAllowedError(
                f"{shown(_name(target))} was not fetched: this server fetches from "
                f"{', '.join(self._allowed.hosts) or 'nowhere'} only (SIGHTLINE_URLS__ALLOWED_HOSTS)"
            )
        return target

    def _load(self, target: httpx.URL) -> bytes:
        return asyncio.run(self._fetch(target))

    async def _fetch(self, target: httpx.URL) -> bytes:
        """Raises MediaError."""
        seconds = self._allowed.seconds
        try:
            async with asyncio.timeout(seconds):
                for _ in range(_MOST_REDIRECTS + 1):
                    answer = await self._get(target)
                    if isinstance(answer, bytes):
                        return answer
                    target = self._target(str(target.join(answer)))
        except TimeoutError as error:
            raise MediaError("timeout", f"was not fetched within {seconds:g} s") from error
        except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError) as error:
            what = str(error) or type(error).__name__
            raise MediaError("unreachable", f"could not be fetched: {what[:200]}") from error
        except (NotAllowedError, InvalidArgumentError) as error:
            raise MediaError("not_allowed", f"is redirected to what is refused: {error}") from error
        raise MediaError("redirects", f"is redirected more than {_MOST_REDIRECTS} times")

    async def _get(self, target: httpx.URL) -> bytes | str:
        """The body of one answer, or where it redirects to."""
        address = await self._address(target)
        verify = self._context or httpx.create_ssl_context()
        async with httpx.AsyncClient(
            trust_env=False, verify=verify, timeout=self._allowed.seconds
        ) as client:
            request = client.build_request(
                "GET",
                target.copy_with(host=address),
                headers={**_HEADERS, "Host": target.netloc.decode("ascii")},
                # The certificate has to be the name's, not the address's.
                extensions={"sni_hostname": target.raw_host.decode("ascii")},
            )
            response = await client.send(request, stream=True)
            try:
                if response.status_code in _REDIRECTS and "location" in response.headers:
                    return str(response.headers["location"])
                return await self._body(response)
            finally:
                await response.aclose()

    async def _address(self, target: httpx.URL) -> str:
        """One address of a host, all of which are allowed."""
        addresses = await self._resolve(target.host, target.port or HTTPS_PORT)
        refused = [each for each in addresses if not self._allowed.reaches(each)]
        if refused or not addresses:
            raise MediaError(
                "not_allowed",
                f"is at {target.host}, which is no public address; networks of your own are named "
                "in SIGHTLINE_URLS__ALLOWED_NETWORKS",
            )
        return addresses[0]

    async def _body(self, response: httpx.Response) -> bytes:
        if response.status_code != 200:
            raise MediaError("http_status", f"is answered with status {response.status_code}")
        if response.headers.get("content-encoding", "identity") != "identity":
            raise MediaError("unsupported", "is sent compressed, though that was not asked for")
        most = self._allowed.max_bytes
        too_large = MediaError("too_large", f"has more than {most:,} bytes, the limit")
        said = response.headers.get("content-length", "")
        if said.isdecimal() and int(said) > most:
            raise too_large
        data = bytearray()
        async for chunk in response.aiter_raw():
            data += chunk
            if len(data) > most:
                raise too_large
        if not data:
            raise MediaError("empty", "has no bytes")
        return bytes(data)


def _name(target: httpx.URL) -> str:
    return str(target.copy_with(userinfo=b"", query=None, fragment=None))
