"""Checks of every request before any route: Host, Origin and duplicate headers.

A web page can make a browser send requests to this server under a name that the page controls (DNS
rebinding). Such a request has that name in the header Host, so only known names are accepted. The
check of the SDK covers the MCP route only, and compares ports by prefix.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sightline.server.config import Settings
from sightline.server.config.hosts import in_url, is_loopback

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_ANY_PORT = ":*"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
#: Two of these would be read differently by a proxy and this server.
_SINGLE_HEADERS = ("authorization", "host", "origin", "mcp-session-id", "last-event-id")


def transport_security(settings: Settings) -> TransportSecuritySettings:
    """Return the accepted Host and Origin headers.

    The web app has the origin of the server.
    """
    hosts = [host for name in _LOOPBACK_NAMES for host in (name, f"{name}:*")]
    origins = list(settings.http.allowed_origins)
    # A server that listens on all addresses is opened by these names, too.
    origins += [f"http://{name}{port}" for name in _LOOPBACK_NAMES for port in ("", ":*")]
    host = settings.http.host
    if not is_loopback(host) and host not in ("0.0.0.0", "::"):  # noqa: S104 - compared, not bound
        name = in_url(host)
        hosts += [name, f"{name}:*"]
        origins += [f"http://{name}", f"http://{name}:*"]
    if settings.http.public_url is not None:
        url = urlsplit(settings.http.public_url)
        # Browsers leave out the default port.
        name = url.netloc.removesuffix(_DEFAULT_PORTS[url.scheme])
        hosts += [name, url.netloc]
        origins.append(f"{url.scheme}://{name}")
    return TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[*hosts, *settings.http.allowed_hosts],
        allowed_origins=origins,
    )


def guard_requests(app: ASGIApp, *, allowed: TransportSecuritySettings) -> ASGIApp:
    """Return ASGI middleware that refuses requests that fail a check.

    The status is 400, 403, 404 or 421. It must be the outermost middleware. The answers repeat
    nothing of the request.
    """
    is_host = _pattern(allowed.allowed_hosts)
    is_origin = _pattern(allowed.allowed_origins)

    async def handle(scope: Scope, receive: Receive, send: Send) -> None:
        response: ASGIApp = app
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            if any(len(headers.getlist(name)) > 1 for name in _SINGLE_HEADERS):
                response = PlainTextResponse("a header occurs more than once\n", 400)
            elif not scope["path"].isprintable():
                # Routes also match a line break at the end, limits for a path do not.
                response = PlainTextResponse("not found\n", 404)
            elif not is_host.fullmatch(headers.get("host", "").lower()):
                response = PlainTextResponse("the Host header is not allowed\n", 421)
            elif "origin" in headers and not is_origin.fullmatch(headers["origin"].lower()):
                response = PlainTextResponse("the Origin header is not allowed\n", 403)
        await response(scope, receive, send)

    return handle


def _pattern(allowed: Iterable[str]) -> re.Pattern[str]:
    """Return a pattern of the allowed values; ``name:*`` allows any port."""
    values = (
        re.escape(value.lower().removesuffix(_ANY_PORT))
        + (r":[0-9]{1,5}" if value.endswith(_ANY_PORT) else "")
        for value in allowed
    )
    return re.compile("|".join(values) or r"(?!)")
