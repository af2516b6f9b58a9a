"""Hide passwords in connection strings."""

from __future__ import annotations

import re

from pydantic import Secret

_URL_PASSWORD = re.compile(r"(?<=://)(?P<user>[^:/?#@\s]*):[^/?#\s]*(?=@)")
_KEYWORD_PASSWORD = re.compile(
    r"\b(?P<key>password|sslpassword)\s*=\s*(?:'(?:\\.|[^'\\])*'|[^\s&]+)", re.IGNORECASE
)


def redact_dsn(text: str) -> str:
    """Replace the passwords of all connection strings in a text by ``***``.

    Supports both libpq formats: ``postgresql://user:password@host`` and ``password=...``.
    """
    without_userinfo = _URL_PASSWORD.sub(r"\g<user>:***", text)
    return _KEYWORD_PASSWORD.sub(r"\g<key>=***", without_userinfo)


class DatabaseUrl(Secret[str]):
    """libpq connection string whose string form hides the password."""

    def _display(self) -> str:
        return redact_dsn(self.get_secret_value())
