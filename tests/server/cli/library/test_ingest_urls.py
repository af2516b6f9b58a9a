"""Tests of URLs that ``sightline ingest`` rejects before it opens anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.server.cli import main

URL = "https://pictures.test/a.jpg?key=secret"


@pytest.mark.parametrize(
    ("hosts", "url", "message"),
    [
        ("", URL, "Set SIGHTLINE_URLS__ALLOWED_HOSTS to the allowed hosts"),
        ("elsewhere.test", URL, "only fetches from elsewhere.test"),
        ("pictures.test", "http://pictures.test/a.jpg", "give an https:// URL"),
    ],
)
def test_urls_that_are_not_allowed_are_rejected_before_anything_is_created(
    hosts: str,
    url: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIGHTLINE_URLS__ALLOWED_HOSTS", hosts)
    assert main(["ingest", "--quiet", url]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "secret" not in error
    assert not (tmp_path / "data").exists()
