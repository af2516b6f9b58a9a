"""Static tokens: what is kept gives nothing away."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.server.auth import static_tokens
from sightline.server.auth.static_tokens import StaticTokenVerifier, Token
from sightline.server.config import settings
from sightline.storage.errors import ConfigurationError


async def test_an_issued_token_is_known_by_its_hash_alone() -> None:
    secret, kept = static_tokens.issue("laptop", ["write", "read"])
    assert secret not in str(kept)
    found = await StaticTokenVerifier([Token.parse(str(kept))]).verify_token(secret)
    assert found is not None
    assert (found.client_id, found.scopes) == ("laptop", ["read", "write"])
    assert secret not in repr(found)


@pytest.mark.parametrize("other", ["", "x", "sl_" + "a" * 43, "\udcff", "é"])
async def test_any_other_token_is_refused(other: str) -> None:
    _, kept = static_tokens.issue("laptop", ["read"])
    assert await StaticTokenVerifier([kept]).verify_token(other) is None


async def test_a_hash_is_not_a_token() -> None:
    _, kept = static_tokens.issue("laptop", ["read"])
    assert await StaticTokenVerifier([kept]).verify_token(kept.sha256) is None


def test_tokens_come_from_the_setting_and_from_the_file(tmp_path: Path) -> None:
    (_, one), (_, two) = (
        static_tokens.issue("one", ["read"]),
        static_tokens.issue("two", ["analytics"]),
    )
    file = tmp_path / "tokens"
    file.write_text(f"# of the second\n\n  {two}  \n")
    file.chmod(0o600)
    read = settings.load(http_tokens=f" {one} ", http_tokens_file=file)
    assert static_tokens.read_tokens(read) == (one, two)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text("")
    file.chmod(0o666)
    with pytest.raises(ConfigurationError, match="others may write"):
        static_tokens.read_tokens(settings.load(http_tokens_file=file))


def test_a_missing_file_is_an_error_and_not_an_open_door(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_HTTP_TOKENS_FILE: cannot read"):
        static_tokens.read_tokens(settings.load(http_tokens_file=tmp_path / "nowhere"))


def test_one_name_is_one_token() -> None:
    (_, one), (_, two) = (
        static_tokens.issue("same", ["read"]),
        static_tokens.issue("same", ["write"]),
    )
    with pytest.raises(ConfigurationError, match="two tokens have the name 'same'"):
        static_tokens.read_tokens(settings.load(http_tokens=f"{one} {two}"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hunter2", "NAME:SCOPE"),
        ("a:read:hunter2", "SHA-256"),
        ("a:read:" + "A" * 64, "SHA-256"),
        ("a b:read:" + "a" * 64, "name"),
        ("a:admin:" + "a" * 64, "no scope 'admin'; there are: 'analytics', 'read', 'write'"),
        ("a::" + "a" * 64, "no scope ''"),
    ],
)
def test_a_malformed_token_is_refused_without_repeating_it(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        Token.parse(text)
    assert "hunter2" not in str(caught.value)
