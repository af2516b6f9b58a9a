"""Network addresses of the HTTP server."""

from __future__ import annotations

import ipaddress

#: Path of the MCP endpoint.
MCP_PATH = "/mcp"


def is_loopback(host: str) -> bool:
    """Return whether only this machine can reach a host: loopback IP or ``localhost``."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def reachable(host: str) -> str:
    """Return the host at which this machine reaches a listening address."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared


def in_url(host: str) -> str:
    """Return a host as it is written in a URL: an IPv6 address gets brackets."""
    return f"[{host}]" if ":" in host else host
