"""Tests of the key that signs cursors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sightline.server.auth.cursor_key import load_signing_key
from sightline.server.config import load_settings


def test_a_data_folder_has_one_key_that_only_its_owner_can_read(tmp_path: Path) -> None:
    read = load_settings(data_dir=tmp_path / "data")
    assert load_signing_key(read) == load_signing_key(read)
    assert len(load_signing_key(read)) == 32
    assert (tmp_path / "data" / "signing.key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["signing.key"]


def test_two_data_folders_have_two_keys(tmp_path: Path) -> None:
    one, two = (load_settings(data_dir=tmp_path / name) for name in "ab")
    assert load_signing_key(one) != load_signing_key(two)


def test_concurrent_processes_load_the_same_key(tmp_path: Path) -> None:
    read = load_settings(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(load_signing_key, [read] * 64))) == 1


def test_a_truncated_key_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_bytes(b"short")
    assert len(load_signing_key(load_settings(data_dir=tmp_path))) == 32


def test_a_configured_key_has_priority(tmp_path: Path) -> None:
    read = load_settings(data_dir=tmp_path, auth__signing_key="k" * 32)
    assert load_signing_key(read) == b"k" * 32
    assert not (tmp_path / "signing.key").exists()


def test_a_temporary_key_is_used_if_the_folder_is_not_writable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert len(load_signing_key(load_settings(data_dir=tmp_path / "file" / "data"))) == 32
    assert "links to media become invalid when this process ends" in caplog.text
