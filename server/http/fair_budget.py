"""A fixed amount of something, shared by principals so that none can take it all."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from starlette.types import Scope


@dataclass(slots=True)
class FairBudget:
    """Gives a principal at most as much as is still free.

    One greedy principal gets half, n of them get 1/(n+1) each, and as much remains for others. With
    fixed shares, a few tokens would be enough to take everything.
    """

    total: int
    #: Maximum of one principal.
    max_each: int | None = None
    _held: Counter[str] = field(default_factory=Counter, init=False)
    _used: int = field(default=0, init=False)

    def acquire(self, principal: str, amount: int = 1) -> bool:
        """Take an amount and return True, or take nothing and return False."""
        held = self._held[principal] + amount
        limit = self.total - self._used
        if held > (limit if self.max_each is None else min(limit, self.max_each)):
            return False
        self._held[principal] = held
        self._used += amount
        return True

    def release(self, principal: str, amount: int = 1) -> None:
        self._used -= amount
        self._held[principal] -= amount
        if not self._held[principal]:
            del self._held[principal]


def principal_of(scope: Scope) -> str | None:
    """Return the authenticated principal of a request, or None.

    All callers of a server without tokens are one principal, the empty string.
    """
    user = scope.get("user")
    if user is None:
        return ""
    return str(user.username) if user.is_authenticated else None
