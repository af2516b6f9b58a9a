"""Scopes of a token, and the scope that each tool requires."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from mcp.server.auth.provider import AccessToken
from mcp.types import ToolAnnotations

from sightline.storage.errors import ConfigurationError, choices, shown

Scope = Literal["read", "write", "analytics", "metrics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_ANALYTICS_TOOLS = frozenset({"query_sql"})


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Return the scopes in standard order; raise ConfigurationError for unknown ones."""
    requested = set(names)
    unknown = requested - set(SCOPES)
    if unknown or not requested:
        problem = f"Unknown scope {choices(unknown)}" if unknown else "A token needs a scope"
        raise ConfigurationError(f"{problem}. Available: {choices(SCOPES)}.")
    return tuple(scope for scope in SCOPES if scope in requested)


def scope_of(tool: str, annotations: ToolAnnotations | None) -> Scope:
    """Return the required scope: ``write`` unless the tool is declared read-only."""
    if tool in _ANALYTICS_TOOLS:
        return "analytics"
    return "read" if annotations is not None and annotations.read_only_hint else "write"


class MissingScope(NamedTuple):
    """The scope that a token lacks, and the message for the caller."""

    scope: Scope
    message: str


def missing_scope(
    operation: str, required: Scope, token: AccessToken | None
) -> MissingScope | None:
    """Return the scope that a token lacks, or None if the call is allowed.

    Without authentication (stdio, loopback) every call is allowed.
    """
    if token is None or required in token.scopes:
        return None
    granted = choices(token.scopes) if token.scopes else "no scope"
    message = (
        f"{operation} needs a token with scope {required!r}; {shown(token.client_id)} has {granted}"
    )
    return MissingScope(required, message)
