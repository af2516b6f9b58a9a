"""``sightline reencode`` switches, says what to change, and switches back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sightline.server.cli import main
from tests.support.sample_images import fill


@pytest.fixture
def album(database_dsn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with pictures; the built-in encoder is named in the configuration file."""
    config = tmp_path / "sightline.toml"
    config.write_text('[encoder]\nmodel = "builtin"\n')
    for name, value in {
        "CONFIG": str(config),
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE__URL": database_dsn,
        "ENCODER__DEVICE": "cpu",
        "INGEST__OCR": "off",
        "INGEST__WORKERS": "1",
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    fill(tmp_path / "album", 3)
    return tmp_path / "album"


def test_a_collection_is_re_encoded_and_switched_back(
    album: Path, tmp_path: Path, random_encoder_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*arguments: str, code: int = 0) -> dict[str, Any]:
        assert main([*arguments, "--json"]) == code
        return dict(json.loads(capsys.readouterr().out))

    other = f"local-dir:{random_encoder_folder}"
    for name in ("album", "more"):
        run("ingest", str(album), "--collection", name)
    assert run("reencode", "album")["changes"] == []

    made = run("reencode", "album", "--encoder", other)
    assert made["switched"]
    assert made["vectors"] == 3
    assert {each["level"] for each in made["changes"]} == {"asset", "passage"}
    assert made["collections_with_old_encoder"] == ["more"]
    assert made["settings_to_change"] == {
        "encoder.model": {"value": other, "source": str(tmp_path / "sightline.toml")}
    }
    assert {each["after"].split()[0] for each in made["changes"]} == {"local-dir:random-clip"}

    (tmp_path / "sightline.toml").write_text(f'[encoder]\nmodel = "{other}"\n')
    back = run("reencode", "album", "--back")
    assert {each["after"].split()[0] for each in back["changes"]} == {"builtin-clip"}
    assert run("reencode", "album", "--drop-old")["dropped"]
    # With the new encoder in the settings, no option is needed.
    assert main(["reencode", "album", "--quiet"]) == 0
    text = capsys.readouterr().out
    assert "album: images: from builtin-clip" in text
    assert "Restart running servers." in text
    assert "sightline reencode album --back or --drop-old" in text
    assert main(["reencode", "album", "--back", "--encoder", other]) == 2
    assert "need no encoder" in capsys.readouterr().err
    assert main(["reencode", "nothing", "--drop-old"]) == 2
    assert "Available: 'album', 'more'" in capsys.readouterr().err
