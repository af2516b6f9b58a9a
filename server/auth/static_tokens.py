"""Static bearer tokens, stored as hashes.

A stored token has the form ``NAME:SCOPE+SCOPE:SHA256``, such as ``laptop:read+write:9f86d0...``.
SHA-256 without salt is enough, because a token is 256 random bits and cannot be guessed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import stat
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from mcp.server.auth.provider import AccessToken

from sightline.server.auth.scopes import Scope, parse_scopes
from sightline.server.config import Settings, variable
from sightline.storage.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9][\w.@-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: Prefix of every static token. No JSON Web Token starts with it.
TOKEN_PREFIX = "sl_"  # noqa: S105


@dataclass(frozen=True, slots=True)
class StoredToken:
    """Name, scopes and hash of a static token."""

    name: str
    scopes: tuple[Scope, ...]
    sha256: str

    def __str__(self) -> str:
        """Return the stored form, which does not reveal the token."""
        return f"{self.name}:{'+'.join(self.scopes)}:{self.sha256}"

    @classmethod
    def parse(cls, text: str) -> StoredToken:
        """Parse the stored form; raise ConfigurationError that does not repeat the text."""
        parts = text.split(":")
        if len(parts) != 3:
            raise ConfigurationError("A token line does not have the form NAME:SCOPE+SCOPE:SHA256.")
        name, scopes, sha256 = parts
        if not _NAME.fullmatch(name):
            raise ConfigurationError("A token name has at most 64 letters, digits and . _ @ -")
        if not _SHA256.fullmatch(sha256):
            raise ConfigurationError(
                f"Token {name!r}: the last part must be a SHA-256 of 64 hexadecimal digits."
            )
        return cls(name, parse_scopes(scopes.split("+")), sha256)


def issue_token(name: str, scopes: Iterable[str]) -> tuple[str, StoredToken]:
    """Return a new secret token and its stored form."""
    secret = TOKEN_PREFIX + secrets.token_urlsafe(32)
    return secret, StoredToken.parse(f"{name}:{'+'.join(parse_scopes(scopes))}:{_digest(secret)}")


def load_tokens(settings: Settings) -> tuple[StoredToken, ...]:
    """Load the tokens of the token file.

    Raises ConfigurationError for duplicate names, and for a file that others may write.
    """
    tokens: dict[str, StoredToken] = {}
    path = settings.auth.tokens_file
    for line in [] if path is None else _token_lines(path):
        token = StoredToken.parse(line)
        if token.name in tokens:
            raise ConfigurationError(f"Two tokens have the name {token.name!r}.")
        tokens[token.name] = token
    return tuple(tokens.values())


def _token_lines(path: Path) -> list[str]:
    setting = variable("auth.tokens_file")
    try:
        mode = path.stat().st_mode
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{setting}: cannot read {str(path)!r}: {error}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(
            f"{setting}: other users may write to {str(path)!r}; run chmod 600 on it"
        )
    return [line for line in lines if line and not line.startswith("#")]


@dataclass(frozen=True, slots=True)
class StaticTokenVerifier:
    """`TokenVerifier` of the SDK for a fixed list of tokens."""

    tokens: Sequence[StoredToken]

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return principal and scopes of a token, or None if it is unknown.

        Compares all stored hashes in constant time.
        """
        digest = _digest(token)
        matches = [each for each in self.tokens if hmac.compare_digest(each.sha256, digest)]
        if not matches:
            return None
        # Other code does not need the secret, so pass its hash.
        return AccessToken(token=digest, client_id=matches[-1].name, scopes=[*matches[-1].scopes])


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
