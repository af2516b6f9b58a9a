"""Addresses of OpenAI-compatible endpoints."""

from __future__ import annotations

from urllib.parse import urlsplit, urlunsplit


def api_url_of(base_url: str) -> str:
    """Return the URL of the API; one without a path gets ``/v1``."""
    url = urlsplit(base_url)
    return urlunsplit((url.scheme, url.netloc, url.path.rstrip("/") or "/v1", "", ""))


def without_password(url: str) -> str:
    """Return the URL without user name and password, for messages and logs."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
