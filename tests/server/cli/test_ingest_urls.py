"""What `sightline ingest` refuses before it opens anything."""

from __future__ import annotations

from pathlib import Path

import pytest

from sightline.server.cli import main

ADDRESS = "https://pictures.test/a.jpg?key=secret"


@pytest.mark.parametrize(
    ("hosts", "address", "said"),
    [
        ("", ADDRESS, "set SIGHTLINE_ALLOWED_URL_HOSTS to the hosts"),
        ("elsewhere.test", ADDRESS, "fetches from elsewhere.test only"),
        ("pictures.test", "http://pictures.test/a.jpg", "give an https:// address"),
    ],
)
def test_addresses_that_are_not_allowed_are_refused_before_anything_is_made(
    hosts: str,
    address: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("SIGHTLINE_ALLOWED_URL_HOSTS", hosts)
    assert main(["ingest", "--quiet", address]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert "secret" not in told
    assert not (tmp_path / "data").exists()
