"""Tests of static tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.server.auth import static_tokens
from sightline.server.auth.static_tokens import StaticTokenVerifier, StoredToken
from sightline.server.config import load_settings
from sightline.storage.errors import ConfigurationError
from tests.support.settings import make_settings


async def test_an_issued_token_is_stored_as_a_hash_only() -> None:
    secret, kept = static_tokens.issue_token("laptop", ["write", "read"])
    assert secret not in str(kept)
    found = await StaticTokenVerifier([StoredToken.parse(str(kept))]).verify_token(secret)
    assert found is not None
    assert (found.client_id, found.scopes) == ("laptop", ["read", "write"])
    assert secret not in repr(found)


@pytest.mark.parametrize("other", ["", "x", "sl_" + "a" * 43, "\udcff", "é"])
async def test_unknown_tokens_are_rejected(other: str) -> None:
    _, kept = static_tokens.issue_token("laptop", ["read"])
    assert await StaticTokenVerifier([kept]).verify_token(other) is None


async def test_a_hash_is_not_accepted_as_a_token() -> None:
    _, kept = static_tokens.issue_token("laptop", ["read"])
    assert await StaticTokenVerifier([kept]).verify_token(kept.sha256) is None


def test_tokens_are_loaded_from_the_file_without_comments(tmp_path: Path) -> None:
    (_, one), (_, two) = (
        static_tokens.issue_token("one", ["read"]),
        static_tokens.issue_token("two", ["analytics"]),
    )
    file = tmp_path / "tokens"
    file.write_text(f"{one}\n# of the second\n\n  {two}  \n")
    file.chmod(0o600)
    read = load_settings(auth__tokens_file=file)
    assert static_tokens.load_tokens(read) == (one, two)


def test_a_file_that_others_may_write_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("")
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match="other users may write"):
        static_tokens.load_tokens(load_settings(auth__tokens_file=file))


def test_a_missing_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_AUTH__TOKENS_FILE: cannot read"):
        static_tokens.load_tokens(load_settings(auth__tokens_file=tmp_path / "nowhere"))


def test_duplicate_names_are_an_error(tmp_path: Path) -> None:
    (_, one), (_, two) = (
        static_tokens.issue_token("same", ["read"]),
        static_tokens.issue_token("same", ["write"]),
    )
    with pytest.raises(ConfigurationError, match="Two tokens have the name 'same'"):
        static_tokens.load_tokens(make_settings(tmp_path, tokens=f"{one}\n{two}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hunter2", "NAME:SCOPE"),
        ("a:read:hunter2", "SHA-256"),
        ("a:read:" + "A" * 64, "SHA-256"),
        ("a b:read:" + "a" * 64, "name"),
        (
            "a:admin:" + "a" * 64,
            "Unknown scope 'admin'. Available: 'analytics', 'metrics', 'read', 'write'",
        ),
        ("a::" + "a" * 64, "Unknown scope ''"),
    ],
)
def test_the_error_for_a_malformed_token_does_not_repeat_it(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        StoredToken.parse(text)
    assert "hunter2" not in str(caught.value)
