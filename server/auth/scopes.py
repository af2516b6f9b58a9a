"""What a token allows, and which of it a tool asks for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple, get_args

from mcp.server.auth.provider import AccessToken
from mcp.types import ToolAnnotations

from sightline.storage.errors import ConfigurationError, choices, shown

Scope = Literal["read", "write", "analytics"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_ANALYTICS_TOOLS = frozenset({"query_sql"})


def parse_scopes(names: Iterable[str]) -> tuple[Scope, ...]:
    """Checked scopes in their usual order; raises ConfigurationError with the valid ones."""
    wanted = set(names)
    unknown = wanted - set(SCOPES)
    if unknown or not wanted:
        msg = f"no scope {choices(unknown)}" if unknown else "a token without a scope"
        raise ConfigurationError(f"{msg}; there are: {choices(SCOPES)}")
    return tuple(scope for scope in SCOPES if scope in wanted)


def scope_of(tool: str, annotations: ToolAnnotations | None) -> Scope:
    """What a token needs to call a tool: ``write`` unless the tool declares that it only reads."""
    if tool in _ANALYTICS_TOOLS:
        return "analytics"
    return "read" if annotations is not None and annotations.read_only_hint else "write"


class Refusal(NamedTuple):
    """The scope that a token lacks, and the words for its holder."""

    needed: Scope
    why: str


def refusal(what: str, needed: Scope, token: AccessToken | None) -> Refusal | None:
    """Why a call is not allowed, or ``None``. Without tokens (stdio, loopback) all is."""
    if token is None or needed in token.scopes:
        return None
    held = choices(token.scopes) if token.scopes else "no scope"
    why = f"{what} needs a token with scope {needed!r}; {shown(token.client_id)} has {held}"
    return Refusal(needed, why)
