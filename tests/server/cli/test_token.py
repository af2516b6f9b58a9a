"""``sightline token`` makes what the HTTP server takes."""

from __future__ import annotations

import pytest

from sightline.server.auth.static_tokens import StaticTokenVerifier, load_tokens
from sightline.server.cli import main
from sightline.server.config import settings


async def test_the_line_that_is_kept_lets_the_token_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["token", "alice", "--scopes", "write", "read"]) == 0
    kept, shown = capsys.readouterr()
    secret = shown.splitlines()[-1]
    assert secret not in kept
    assert "sightline bind alice" in shown
    tokens = load_tokens(settings.load(http_tokens=kept))
    found = await StaticTokenVerifier(tokens).verify_token(secret)
    assert found is not None
    assert (found.client_id, found.scopes) == ("alice", ["read", "write"])


def test_an_unknown_scope_is_refused_with_those_that_there_are(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["token", "alice", "--scopes", "admin"]) == 2
    assert (
        "Unknown scope 'admin'. Available: 'analytics', 'read', 'write'" in capsys.readouterr().err
    )
