"""Static bearer tokens, kept as hashes.

A token is 256 random bits, so its SHA-256 is all that needs to be kept: there is nothing to guess,
and a slow hash would only slow the server. Where tokens are kept, one is ``NAME:SCOPES:SHA256``,
with scopes joined by ``+``: ``laptop:read+write:9f86d0...``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from mcp.server.auth.provider import AccessToken

from sightline.server.auth.scopes import Scope, parse_scopes
from sightline.server.config.settings import Settings, variable
from sightline.storage.errors import ConfigurationError

_NAME = re.compile(r"[A-Za-z0-9][\w.@-]{0,63}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
#: What every issued token begins with; no JSON Web Token does.
PREFIX = "sl_"


@dataclass(frozen=True, slots=True)
class Token:
    """Who holds it, what it allows, and the hash that it is known by."""

    name: str
    scopes: tuple[Scope, ...]
    sha256: str

    def __str__(self) -> str:
        """The form in which it is kept; it does not give the token away."""
        return f"{self.name}:{'+'.join(self.scopes)}:{self.sha256}"

    @classmethod
    def parse(cls, text: str) -> Token:
        """Raises ConfigurationError that says what is wrong, without the text itself."""
        parts = text.split(":")
        if len(parts) != 3:
            raise ConfigurationError("a token is NAME:SCOPE+SCOPE:SHA256; one has another form")
        name, scopes, sha256 = parts
        if not _NAME.fullmatch(name):
            raise ConfigurationError("a token's name is up to 64 letters, digits and . _ @ -")
        if not _SHA256.fullmatch(sha256):
            msg = (
                f"token {name!r}: the last part is the SHA-256 of the token, 64 hexadecimal digits"
            )
            raise ConfigurationError(msg)
        return cls(name, parse_scopes(scopes.split("+")), sha256)


def issue(name: str, scopes: Iterable[str]) -> tuple[str, Token]:
    """A new token and what to keep of it. The first is shown once, to its holder."""
    secret = PREFIX + secrets.token_urlsafe(32)
    return secret, Token.parse(f"{name}:{'+'.join(parse_scopes(scopes))}:{_digest(secret)}")


def read_tokens(settings: Settings) -> tuple[Token, ...]:
    """The tokens of both settings; raises ConfigurationError for a file that others may write.

    A name may occur once: the log and the sessions tell holders apart by it.
    """
    tokens: dict[str, Token] = {}
    for token in _all(settings):
        if token.name in tokens:
            raise ConfigurationError(f"two tokens have the name {token.name!r}")
        tokens[token.name] = token
    return tuple(tokens.values())


def _all(settings: Settings) -> Iterator[Token]:
    if settings.http_tokens is not None:
        for text in settings.http_tokens.get_secret_value().split():
            yield Token.parse(text)
    if settings.http_tokens_file is not None:
        for line in _lines(settings.http_tokens_file):
            yield Token.parse(line)


def _lines(path: Path) -> list[str]:
    name = variable("http_tokens_file")
    try:
        mode = path.stat().st_mode
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{name}: cannot read {str(path)!r}: {error}") from error
    if mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigurationError(f"{name}: others may write to {str(path)!r}; chmod 600 it")
    return [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]


class StaticTokenVerifier:
    """The SDK's `TokenVerifier` over a fixed list."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)

    async def verify_token(self, token: str) -> AccessToken | None:
        """Who the token belongs to; ``None`` for one that is not known.

        Every kept hash is compared in full, so that the time taken says nothing.
        """
        digest = _digest(token)
        found: Token | None = None
        for known in self._tokens:
            if hmac.compare_digest(known.sha256, digest):
                found = known
        if found is None:
            return None
        # The secret itself goes no further: nothing behind this needs it.
        return AccessToken(token=found.sha256, client_id=found.name, scopes=list(found.scopes))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()
