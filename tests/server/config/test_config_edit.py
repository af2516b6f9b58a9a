"""Changes of ``sightline.toml`` keep everything that they do not set."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from sightline.server.config import load_settings
from sightline.server.config.config_edit import config_target, plan_change
from sightline.storage.errors import ConfigurationError

TEXT = """\
# mine
default_collection = "album"   # kept

[database]
url = "postgresql://me:secret@localhost/x"

[encoder]
model = "clip-vit-b-32"  # old
threads = 2
"""


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "new" / "sightline.toml"
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(path))
    return path


def test_a_new_file_is_private_and_read_as_settings(config: Path) -> None:
    change = plan_change({"encoder.model": "siglip2-base", "vlm.model": None})
    assert not config.parent.exists()
    change.write()
    assert config.stat().st_mode & 0o777 == 0o600
    assert load_settings().encoder.model == "siglip2-base"


def test_other_keys_and_comments_stay_and_only_changed_lines_are_shown(config: Path) -> None:
    config.parent.mkdir()
    config.write_text(TEXT)
    change = plan_change({"encoder.model": "siglip2-base", "reranker.model": "ms-marco-minilm"})
    assert "secret" not in "\n".join(change.lines())
    assert [line for line in change.lines() if "siglip2" in line] == [
        '+ model = "siglip2-base"  # old'
    ]
    assert config.read_text() == TEXT
    change.write()
    written = config.read_text()
    assert written.startswith('# mine\ndefault_collection = "album"   # kept\n')
    expected = tomllib.loads(TEXT)
    expected["encoder"]["model"] = "siglip2-base"
    expected["reranker"] = {"model": "ms-marco-minilm"}
    assert tomllib.loads(written) == expected


def test_a_value_that_is_there_changes_nothing(config: Path) -> None:
    config.parent.mkdir()
    config.write_text(TEXT)
    assert plan_change({"encoder.model": "clip-vit-b-32", "vlm.base_url": None}).is_empty


def test_none_removes_a_key(config: Path) -> None:
    config.parent.mkdir()
    config.write_text('[vlm]\nmodel = "builtin"\nprofile = "plain"\n')
    plan_change({"vlm.model": None}).write()
    assert tomllib.loads(config.read_text()) == {"vlm": {"profile": "plain"}}


@pytest.mark.parametrize(
    ("text", "message"),
    [("[encoder", "is not valid TOML"), ('encoder = "siglip"', "form of .* is not supported")],
)
def test_a_file_that_cannot_be_changed_stays(config: Path, text: str, message: str) -> None:
    config.parent.mkdir()
    config.write_text(text)
    with pytest.raises(ConfigurationError, match=message):
        plan_change({"encoder.model": "siglip2-base"})
    assert config.read_text() == text


def test_a_file_that_another_program_changed_is_not_overwritten(config: Path) -> None:
    config.parent.mkdir()
    config.write_text(TEXT)
    change = plan_change({"encoder.model": "siglip2-base"})
    config.write_text("[log]\n")
    with pytest.raises(ConfigurationError, match="was changed in the meantime"):
        change.write()
    assert config.read_text() == "[log]\n"


def test_without_a_name_the_file_is_that_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    assert config_target({}).parts[-2:] == ("sightline", "sightline.toml")
