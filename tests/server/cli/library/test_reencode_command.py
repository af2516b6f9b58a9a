"""``sightline reencode`` switches, says what to change, and switches back."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sightline.server.cli import main
from tests.support.media import sign
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

    back = run("reencode", "album", "--back")
    assert {each["after"].split()[0] for each in back["changes"]} == {"builtin-clip"}
    assert run("reencode", "album", "--drop-old")["dropped"]
    (config := tmp_path / "sightline.toml").write_text("# mine\n" + config.read_text())
    assert main(["reencode", "album", "--encoder", other, "--quiet", "--save"]) == 0
    assert config.read_text() == f'# mine\n[encoder]\nmodel = "{other}"\n'
    text = capsys.readouterr().out
    assert "album: images: from builtin-clip" in text
    assert "Restart running servers." in text
    assert "sightline reencode album --back or --drop-old" in text
    assert main(["reencode", "album", "--back", "--encoder", other]) == 2
    assert "need no encoder" in capsys.readouterr().err
    assert main(["reencode", "nothing", "--drop-old"]) == 2
    assert "Available: 'album', 'more'" in capsys.readouterr().err


def test_the_text_of_images_is_read_again(
    album: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sign(album / "sign.png", "NO PARKING")
    assert main(["ingest", str(album), "--collection", "album", "--quiet"]) == 0
    assert main(["reencode", "album", "--ocr"]) == 2
    assert "OCR of 'album' is off" in capsys.readouterr().err
    assert main(["reencode", "album", "--ocr-languages", "th"]) == 2
    assert "--ocr-languages needs --ocr" in capsys.readouterr().err
    monkeypatch.setenv("SIGHTLINE_INGEST__OCR", "auto")
    assert main(["reencode", "album", "--ocr", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert (made["sources"], made["lines"], made["unreadable"]) == (4, 1, {})
    assert main(["reencode", "album", "--ocr", "--quiet"]) == 0
    assert "album: 0 lines in 0 files read again (auto: " in capsys.readouterr().out
