"""`sightline setup` with options and with a stub hub; questions are in test_setup_questions.py."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from sightline.server.cli import main
from tests.support import model_hub, onnx_folders
from tests.support.model_hub import ModelHub
from tests.support.ports import free_port

REPOSITORY = "onnx-community/siglip2-base-patch16-256-ONNX"

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="session")
def siglip_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Files of a small model that runs, by their path in the repository."""
    folder = tmp_path_factory.mktemp("hub") / "siglip"
    onnx_folders.write_encoder(folder, onnx_folders.siglip(), onnx_folders.SIGLIP_IMAGES)
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, siglip_files: dict[str, bytes]) -> Iterator[ModelHub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with model_hub.serve() as hub:
        hub.repositories[REPOSITORY] = dict(siglip_files)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def config(tmp_path: Path) -> Path:
    return tmp_path / "config" / "sightline.toml"


@pytest.fixture
def run(
    database_dsn: str,
    config: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    for name, value in {
        "DATA_DIR": str(tmp_path / "data"),
        "DATABASE__URL": database_dsn,
        "INGEST__OCR": "off",
        "INGEST__WORKERS": "1",
        "CONFIG": str(config),
    }.items():
        monkeypatch.setenv(f"SIGHTLINE_{name}", value)
    monkeypatch.setenv("HOME", str(tmp_path))

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["setup", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    folder = tmp_path / "notes"
    folder.mkdir()
    (folder / "invoice.txt").write_text("Invoice 7: the total amount is 300 euros.")
    (folder / "letter.txt").write_text("Dear Anna, the weather is fine.")
    return folder


def result_of(run: Run, *arguments: str) -> dict[str, Any]:
    code, out, error = run(*arguments, "--yes", "--json")
    assert code == 0, error
    result: dict[str, Any] = json.loads(out)
    return result


def test_documents_are_found_offline_with_one_command(run: Run, notes: Path, config: Path) -> None:
    result = result_of(run, str(notes), "--offline", "--collection", "notes")
    assert result["materials"] == ["documents"]
    assert [each["name"] for each in result["models"]] == ["builtin", "encoder", "off"]
    assert result["ingest"]["added"] == 2
    assert result["search"]["hits"][0]["source"].endswith("notes/invoice.txt")
    assert not result["hub"]["is_used"]
    assert tomllib.loads(config.read_text()) == {}  # the defaults are enough
    again = result_of(run, "--offline")
    assert (again["folder"], again["collection"]) == (str(notes), "notes")
    assert again["ingest"]["unchanged"] == 2


def test_a_model_is_downloaded_tried_and_set_and_a_second_run_changes_nothing(
    hub: ModelHub, run: Run, config: Path
) -> None:
    config.parent.mkdir()
    config.write_text("# mine\n[limits]\nmax_results = 20  # enough\n")
    arguments = ("--material", "photographs", "--languages", "de", "--answers", "off")
    first = result_of(run, *arguments)
    (encoder,) = [each for each in first["models"] if each["part"] == "encoder"]
    assert encoder["name"] == "siglip2-base"
    assert encoder["license"] == "Apache-2.0"
    assert encoder["downloaded_bytes"] > 10_000
    assert first["config"]["is_changed"]
    written = config.read_text()
    assert written.startswith("# mine\n[limits]\nmax_results = 20  # enough\n")
    assert tomllib.loads(written)["encoder"] == {"model": "siglip2-base"}
    hub.asked.clear()
    second = result_of(run)
    assert not second["config"]["is_changed"]
    assert (second["materials"], second["languages"]) == (["photographs"], ["de"])
    assert {each["downloaded_bytes"] for each in second["models"]} == {0}
    assert hub.asked_files() == []
    assert config.read_text() == written


def test_pictures_of_the_built_in_encoder_are_encoded_again(
    hub: ModelHub, run: Run, config: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config.parent.mkdir()
    config.touch()
    album = tmp_path / "album"
    album.mkdir()
    for color in ("red", "blue"):
        Image.new("RGB", (64, 64), color).save(album / f"{color}.png")
        assert main(["ingest", str(album), "--collection", color, "--quiet"]) == 0
    capsys.readouterr()
    arguments = ("--material", "photographs", "--languages", "de", "--query", "rot")
    result = result_of(run, str(album), "--collection", "red", *arguments)
    assert result["reencoded"] == ["red"]
    assert result["ingest"]["added"] == 1  # blue.png, which the first ingest did not see
    assert len(result["search"]["hits"]) == 2
    assert any("sightline reencode blue --encoder siglip2-base" in n for n in result["notes"])


def test_a_model_that_does_not_run_leaves_the_configuration_as_it_is(
    hub: ModelHub, run: Run, config: Path
) -> None:
    hub.repositories[REPOSITORY]["onnx/text_model.onnx"] = b"no graph"
    code, _, error = run("--yes", "--material", "photographs", "--encoder", "siglip2-base")
    assert code == 2
    assert "A model does not run, so the configuration was not changed" in error
    assert not config.exists()


def test_an_unreachable_hub_is_said_and_the_built_in_models_are_used(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    result = result_of(run, "--material", "photographs")
    assert "cannot be reached" in result["hub"]["problem"]
    assert result["models"][0]["name"] == "builtin"
    assert any("Words will not find what photos show" in note for note in result["notes"])


def test_no_file_is_said_to_stay_where_there_is_none(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SIGHTLINE_CONFIG")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "none"))
    code, out, error = run("--yes", "--offline", "--material", "documents")
    assert code == 0, error
    assert "sightline.toml is not needed: nothing changes." in out
    assert not (tmp_path / "none").exists()


def test_a_named_model_needs_the_hub_or_this_machine(run: Run, config: Path) -> None:
    code, _, error = run("--yes", "--offline", "--encoder", "siglip2-base")
    assert code == 2
    assert "'siglip2-base' is not on this machine" in error
    assert not config.exists()


def test_a_variable_that_overrides_the_file_is_noted(
    hub: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIGHTLINE_RERANKER__MODEL", "vlm")
    result = result_of(run, "--material", "photographs", "--reranker", "off")
    assert any(note.startswith("SIGHTLINE_RERANKER__MODEL is set") for note in result["notes"])


def test_languages_that_ocr_does_not_read_are_noted(run: Run) -> None:
    result = result_of(run, "--offline", "--languages", "ru,he,de")
    first, second = (note for note in result["notes"] if "OCR" in note)
    assert "eslav_PP-OCRv5_rec_mobile.onnx" in first
    assert second == "There is no OCR model for: he."


def test_an_endpoint_for_answers_is_written(run: Run, config: Path) -> None:
    address = "http://127.0.0.1:8000/v1"
    result_of(run, "--offline", "--answers", address, "--answers-model", "llava")
    assert tomllib.loads(config.read_text())["vlm"] == {"base_url": address, "model": "llava"}
    result_of(run, "--offline", "--answers", "off")
    assert tomllib.loads(config.read_text()).get("vlm", {}) == {}


def test_named_clients_are_connected(run: Run, tmp_path: Path) -> None:
    result = result_of(run, "--offline", "--connect", "cursor")
    assert result["clients"] == ["cursor"]
    entry = json.loads((tmp_path / ".cursor" / "mcp.json").read_text())
    assert "sightline" in entry["mcpServers"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--json"], "--json asks no questions. Add --yes."),
        ([], "There is no terminal to ask questions on. Add --yes"),
        (["--yes", "--material", "photos"], "Unknown material 'photos'. Available: photographs,"),
        (["--yes", "--languages", "english"], "'english' is no language"),
        (["--yes", "/no/such/folder"], "There is no folder or file '/no/such/folder'"),
        (["--yes", "~nobody-here/a"], "'~nobody-here' is no home folder. Give the whole path."),
        (["--yes", "--collection", "a b"], "'a b' cannot name a collection"),
        (["--yes", "--offline", "--answers", "http://x"], "--answers-model NAME"),
        (["--yes", "--connect", "emacs"], "Unknown client 'emacs'. Available: all, none"),
    ],
)
def test_wrong_options_are_named_before_anything_is_done(
    run: Run, tmp_path: Path, arguments: list[str], message: str
) -> None:
    code, _, error = run(*arguments)
    assert code == 2
    assert message in error
    assert not (tmp_path / "data").exists()
