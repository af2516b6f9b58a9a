"""Tests of ``sightline token``."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.server.auth.static_tokens import StaticTokenVerifier, load_tokens
from sightline.server.cli import main
from tests.support.settings import make_settings


async def test_the_stored_line_authenticates_the_token(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["token", "alice", "--scopes", "write", "read"]) == 0
    kept, shown = capsys.readouterr()
    secret = shown.splitlines()[-1]
    assert secret not in kept
    assert "sightline bind alice" in shown
    tokens = load_tokens(make_settings(tmp_path, tokens=kept))
    found = await StaticTokenVerifier(tokens).verify_token(secret)
    assert found is not None
    assert (found.client_id, found.scopes) == ("alice", ["read", "write"])


def test_an_unknown_scope_is_rejected_with_the_valid_scopes(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["token", "alice", "--scopes", "admin"]) == 2
    assert (
        "Unknown scope 'admin'. Available: 'analytics', 'metrics', 'read', 'write'"
        in capsys.readouterr().err
    )
