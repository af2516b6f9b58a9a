"""Tests of the audit log."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError

from sightline.server.auth import static_tokens
from sightline.server.http.http_server import start_http_server
from sightline.server.mcp_server.audit import Audit
from sightline.storage.errors import ConfigurationError
from tests.server.http.test_http_server import connect
from tests.support.settings import make_settings


def entries(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


async def test_each_call_is_logged_with_principal_and_outcome(
    tmp_path: Path, database_dsn: str
) -> None:
    secret, stored = static_tokens.issue_token("ann", ["read"])
    file = tmp_path / "audit.jsonl"
    settings = make_settings(
        tmp_path, database__url=database_dsn, tokens=str(stored), log__audit_file=file
    )
    async with start_http_server(settings) as (url, _), connect(url, "auto", secret) as client:
        await client.call_tool("list_collections", {})
        # Rejected at once: validation does not wait for the encoder.
        arguments = {"query": "hunter2", "collection": "album\n", "hunter": 2}
        await client.call_tool("search_text", arguments)
        await client.call_tool("view_image", {"asset": "0123456789ab"})
        await client.call_tool("delete_assets", {"assets": ["0123456789ab"]})
        with pytest.raises(MCPError):
            await client.read_resource("sightline://collection/hunter2")
    written = entries(file)
    assert [(each["call"], each["outcome"]) for each in written] == [
        ("list_collections", "ok"),
        ("search_text", "refused"),
        ("view_image", "refused"),
        ("delete_assets", "denied"),
        ("resources/read", "refused"),
    ]
    assert {each["principal"] for each in written} == {"ann"}
    assert written[1]["collection"] == "album\n"
    assert written[1]["arguments"] == ["collection", "hunter", "query"]
    assert written[3]["assets"] == ["0123456789ab"]
    assert all(each["milliseconds"] >= 0 and each["time"] for each in written)
    assert "hunter2" not in file.read_text()
    assert secret not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600


async def test_a_call_without_a_token_has_no_principal(tmp_path: Path, database_dsn: str) -> None:
    file = tmp_path / "audit.jsonl"
    settings = make_settings(tmp_path, database__url=database_dsn, log__audit_file=file)
    async with start_http_server(settings) as (url, _), connect(url, "auto") as client:
        await client.call_tool("list_collections", {})
    (entry,) = entries(file)
    assert "principal" not in entry


def test_a_new_file_is_created_after_the_file_was_moved(tmp_path: Path) -> None:
    file = tmp_path / "audit.jsonl"
    audit = Audit(file)
    for _ in range(2):
        audit.record("x", {}, principal="ann", outcome="ok", seconds=0)
        file.rename(tmp_path / "old.jsonl")
    assert len(entries(tmp_path / "old.jsonl")) == 1
    assert (tmp_path / "old.jsonl").stat().st_mode & 0o777 == 0o600
    audit.close()


def test_an_unwritable_file_is_an_error_at_startup(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="SIGHTLINE_LOG__AUDIT_FILE: cannot write"):
        Audit(tmp_path / "nowhere" / "audit.jsonl")


def test_a_write_error_is_logged_and_does_not_fail_the_call(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    audit = Audit(folder / "audit.jsonl")
    (folder / "audit.jsonl").unlink()
    folder.rmdir()
    with caplog.at_level(logging.ERROR):
        audit.record("x", {}, principal=None, outcome="ok", seconds=0)
    assert "cannot be written" in caplog.text
