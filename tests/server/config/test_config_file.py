"""Tests of ``sightline.toml`` and ``sightline config``."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import platformdirs
import pytest

from sightline.server.cli import main
from sightline.server.config import load_settings
from sightline.storage.errors import ConfigurationError


@pytest.fixture
def config_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "sightline.toml"
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(path))
    return path


def test_priority_is_default_then_file_then_environment_then_command(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config_file.write_text('[http]\nhost = "file"\nport = 1\n[log]\nlevel = "debug"\n')
    monkeypatch.setenv("SIGHTLINE_HTTP__PORT", "2")
    monkeypatch.setenv("SIGHTLINE_LOG__LEVEL", "error")
    settings = load_settings(log__level="info")
    assert (settings.http.host, settings.http.port) == ("file", 2)
    assert settings.log.level == "info"
    assert settings.log.format == "text"


def test_the_default_file_is_in_the_configuration_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGHTLINE_CONFIG", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    assert load_settings().default_collection == "default"
    folder = platformdirs.user_config_path("sightline", appauthor=False)
    assert tmp_path in folder.parents
    folder.mkdir(parents=True)
    (folder / "sightline.toml").write_text('default_collection = "album"\n')
    assert load_settings().default_collection == "album"


def test_lists_and_nested_tables_are_read(config_file: Path) -> None:
    config_file.write_text(
        'allowed_roots = ["/a", "/b"]\n'
        '[auth.jwt]\nalgorithms = ["ES256"]\n'
        '[urls]\nallowed_networks = ["10.0.0.0/8"]\n'
    )
    settings = load_settings()
    assert settings.allowed_roots == (Path("/a"), Path("/b"))
    assert settings.auth.jwt.algorithms == ("ES256",)
    assert str(settings.urls.allowed_networks[0]) == "10.0.0.0/8"


def test_a_missing_named_file_is_an_error(config_file: Path) -> None:
    with pytest.raises(ConfigurationError, match=f"{config_file}.*SIGHTLINE_CONFIG"):
        load_settings()


def test_the_home_folder_of_an_unknown_user_is_an_error(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ConfigurationError, match=r"SIGHTLINE_DATA_DIR.* is no home folder"):
        load_settings(data_dir="~nobody-here/data")
    for arguments, message in (
        (["--config", "~nobody-here/a.toml", "config"], "'~nobody-here' is no home folder"),
        (["search", "--like", "~nobody-here/a"], "'~nobody-here' is no home folder"),
        (["watch", "~nobody-here/a"], "'~nobody-here/a' is not a folder"),
    ):
        monkeypatch.setenv("SIGHTLINE_CONFIG", "")
        assert main(arguments) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("port = = 1", "Cannot read .*sightline.toml: .*line 1"),
        (
            "[http]\nprt = 1",
            "Unknown setting http.prt in .*sightline.toml. Did you mean http.port?",
        ),
        ("htp = 1", "Unknown setting htp in .*sightline.toml"),
        ("[http]\nport = 'x'", "http.port in .*sightline.toml is wrong: .*integer.*'x'"),
        ("http = 1", "http in .*sightline.toml is wrong"),
        ("[log]\nlevel = 'loud'", "log.level in .*sightline.toml is wrong: .*'debug', 'info'"),
    ],
)
def test_an_error_names_file_and_key(config_file: Path, text: str, message: str) -> None:
    config_file.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        load_settings()


@pytest.mark.parametrize(
    "text", ["[vlm]\napi_key = ['hunter2']", "vlm = 'hunter2'", "[vlm]\nkey = 'hunter2'"]
)
def test_an_error_does_not_repeat_a_secret(config_file: Path, text: str) -> None:
    config_file.write_text(text)
    with pytest.raises(ConfigurationError, match=f"vlm.* in {config_file}") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)


SECRETS = (
    '[vlm]\napi_key = "hunter2"\nbase_url = "https://ann:hunter2@vlm.example/v1"\n'
    '[database]\nurl = "postgresql://ann:hunter2@db/eyes"\n'
)


def test_config_prints_each_setting_with_its_source_and_hides_secrets(
    config_file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text(SECRETS)
    monkeypatch.setenv("SIGHTLINE_HTTP__PORT", "9001")
    assert main(["config"]) == 0
    output = capsys.readouterr().out
    rows = {line.split()[0]: line.split()[1:] for line in output.splitlines()}
    assert rows["http.port"] == ["9001", "SIGHTLINE_HTTP__PORT"]
    assert rows["http.host"] == ["127.0.0.1", "default"]
    assert rows["vlm.api_key"] == ["***", str(config_file)]
    assert rows["database.url"] == ["postgresql://ann:***@db/eyes", str(config_file)]
    assert "hunter2" not in output


def test_config_prints_toml_that_loads_to_the_same_values(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text(SECRETS + '[http]\nallowed_hosts = ["a", "b"]\n')
    assert main(["config", "--format", "toml"]) == 0
    output = capsys.readouterr().out
    assert "hunter2" not in output
    printed = tomllib.loads(output)
    assert "api_key" not in printed["vlm"]
    settings = load_settings()
    config_file.write_text(output)
    assert load_settings().http == settings.http
    assert load_settings().ingest == settings.ingest


def test_config_prints_json(config_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config_file.write_text(SECRETS)
    assert main(["config", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["analytics.enabled"] == {"value": False, "source": "default"}
    assert printed["vlm.api_key"] == {"value": "***", "source": str(config_file)}


@pytest.mark.parametrize("place", ["before", "after"])
def test_the_config_option_names_the_file(
    config_file: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, place: str
) -> None:
    config_file.write_text("")
    other = tmp_path / "other.toml"
    other.write_text('default_collection = "album"\n')
    option = ["--config", str(other)]
    arguments = ["--json"]
    words = ["config", *option, *arguments] if place == "after" else [*option, "config", *arguments]
    assert main(words) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed["default_collection"] == {"value": "album", "source": str(other)}


def test_the_config_option_with_a_missing_file_is_an_error(
    config_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config_file.write_text("")
    assert main(["config", "--config", "/nowhere.toml"]) == 2
    assert "'/nowhere.toml' does not exist" in capsys.readouterr().err
