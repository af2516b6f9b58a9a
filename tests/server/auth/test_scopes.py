"""Tests of scopes."""

from __future__ import annotations

import pytest
from mcp.server.auth.provider import AccessToken
from mcp.types import ToolAnnotations

from sightline.server.auth import scopes


@pytest.mark.parametrize(
    ("tool", "annotations", "scope"),
    [
        ("search_images", ToolAnnotations(read_only_hint=True), "read"),
        ("add_images", ToolAnnotations(read_only_hint=False), "write"),
        ("says_nothing", None, "write"),
        ("says_little", ToolAnnotations(), "write"),
        ("query_sql", ToolAnnotations(read_only_hint=True), "analytics"),
    ],
)
def test_a_tool_needs_write_unless_it_declares_that_it_only_reads(
    tool: str, annotations: ToolAnnotations | None, scope: str
) -> None:
    assert scopes.scope_of(tool, annotations) == scope


def test_every_call_is_allowed_without_a_token_else_its_scopes_decide() -> None:
    token = AccessToken(token="x", client_id="laptop", scopes=["read"])
    assert scopes.missing_scope("it", "write", None) is None
    assert scopes.missing_scope("it", "read", token) is None
    assert scopes.missing_scope("it", "write", token) == (
        "write",
        "it needs a token with scope 'write'; 'laptop' has 'read'",
    )


def test_the_message_says_that_a_token_has_no_scope() -> None:
    token = AccessToken(token="x", client_id="laptop", scopes=[])
    assert scopes.missing_scope("it", "read", token) == (
        "read",
        "it needs a token with scope 'read'; 'laptop' has no scope",
    )
