"""Answer 403 ``insufficient_scope`` if a signed token lacks a scope.

The MCP specification ("Runtime Insufficient Scope Errors") requires HTTP 403 with a challenge.
Clients then request the scope from the authorization server. A static token has no authorization
server, so its caller gets a tool error instead.

`InsufficientScope` only writes message and challenge. `SightlineServer` checks the scopes of each
call, and `MessageLimits` responds.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from starlette.types import Scope

from sightline.server.auth import scopes

#: Returns the scope that the caller lacks for a JSON-RPC method with these parameters.
ScopeCheck = Callable[[str, Mapping[str, Any]], Awaitable[scopes.MissingScope | None]]


class Challenge(NamedTuple):
    """The message of a refusal, and the value of its header ``WWW-Authenticate``."""

    message: str
    authenticate: str


@dataclass(frozen=True, slots=True)
class InsufficientScope:
    """Finds the requests whose signed token lacks a scope."""

    missing_scope: ScopeCheck
    scope_prefix: str
    metadata_url: str

    async def __call__(self, scope: Scope, message: Mapping[str, Any]) -> Challenge | None:
        """Return the challenge for a JSON-RPC message, or None if its token is sufficient."""
        if not _may_lack_scope(scope.get("user")):
            return None
        params = message.get("params")
        missing = await self.missing_scope(
            str(message.get("method")), params if isinstance(params, dict) else {}
        )
        if missing is None:
            return None
        needed = self.scope_prefix + missing.scope
        fields = (
            f'error="insufficient_scope", scope="{needed}", '
            f'resource_metadata="{self.metadata_url}", '
            f'error_description="this operation needs the scope {needed}"'
        )
        return Challenge(missing.message, f"Bearer {fields}")


def _may_lack_scope(user: object) -> bool:
    """Return whether the caller has a signed token without all scopes."""
    if not isinstance(user, AuthenticatedUser):
        return False
    token = user.access_token
    return token.subject is not None and not set(scopes.SCOPES) <= set(token.scopes)
