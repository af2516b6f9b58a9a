"""The signing key outlives the process and belongs to its owner alone."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sightline.server.auth.cursor_key import load_signing_key
from sightline.server.config import settings


def test_a_data_folder_has_one_key_that_only_its_owner_reads(tmp_path: Path) -> None:
    read = settings.load(data_dir=tmp_path / "data")
    assert load_signing_key(read) == load_signing_key(read)
    assert len(load_signing_key(read)) == 32
    assert (tmp_path / "data" / "signing.key").stat().st_mode & 0o777 == 0o600
    assert [file.name for file in (tmp_path / "data").iterdir()] == ["signing.key"]


def test_two_data_folders_have_two_keys(tmp_path: Path) -> None:
    one, two = (settings.load(data_dir=tmp_path / name) for name in "ab")
    assert load_signing_key(one) != load_signing_key(two)


def test_processes_that_start_at_once_agree(tmp_path: Path) -> None:
    read = settings.load(data_dir=tmp_path)
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(load_signing_key, [read] * 64))) == 1


def test_a_key_cut_short_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "signing.key").write_bytes(b"short")
    assert len(load_signing_key(settings.load(data_dir=tmp_path))) == 32


def test_a_key_that_is_set_wins(tmp_path: Path) -> None:
    read = settings.load(data_dir=tmp_path, signing_key="k" * 32)
    assert load_signing_key(read) == b"k" * 32
    assert not (tmp_path / "signing.key").exists()


def test_a_folder_that_cannot_be_written_still_serves(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert len(load_signing_key(settings.load(data_dir=tmp_path / "file" / "data"))) == 32
    assert "cursors will not outlive this process" in caplog.text
