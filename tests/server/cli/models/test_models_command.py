from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sightline.server.cli import main
from sightline.server.models.catalog import CATALOG, DETECTORS
from tests.support import model_hub
from tests.support.model_hub import ModelHub
from tests.support.ports import free_port

FILES = {
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "onnx/model.onnx": b"a graph",
    "onnx/model_quantized.onnx": b"small",
}

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModelHub]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    with model_hub.serve() as hub:
        hub.repositories["Xenova/multilingual-e5-small"] = dict(FILES)
        hub.repositories["some/model"] = dict(FILES)
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    monkeypatch.setenv("SIGHTLINE_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "400")

    def run(*arguments: str) -> tuple[int, str, str]:
        code = main(["models", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_a_pulled_model_is_listed_used_and_removed(hub: ModelHub, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("pull", "multilingual-e5-small", "--quiet")
    assert code == 0
    assert "Xenova/multilingual-e5-small at cccccccccccc" in out
    assert "license: MIT" in out
    assert f"installed: {tmp_path / 'models' / 'multilingual-e5-small'}" in out
    assert "export SIGHTLINE_ENCODER__PASSAGE_MODEL=multilingual-e5-small" in out
    _, out, _ = run("list")
    assert "Xenova/multilingual-e5-small@cccccccccccc  complete" in out
    _, out, _ = run("list", "--json")
    (listed,) = json.loads(out)["installed"]
    assert listed["name"] == "multilingual-e5-small"
    assert listed["revision"] == model_hub.COMMIT
    code, out, _ = run("pull", "multilingual-e5-small", "--json")
    assert code == 0
    assert json.loads(out) == {**listed, "is_new": False}
    code, out, _ = run("remove", "multilingual-e5-small", "--json")
    assert code == 0
    removed = json.loads(out)
    assert set(removed) == {"removed", "bytes"}
    assert removed["removed"] == "multilingual-e5-small"
    assert removed["bytes"] >= listed["bytes"]  # with its record
    assert json.loads(run("list", "--json")[1])["installed"] == []


def test_a_damaged_model_is_shown_and_pulled_again(hub: ModelHub, run: Run, tmp_path: Path) -> None:
    code, out, _ = run("pull", "some/model", "--json")
    assert (code, json.loads(out)["is_new"]) == (0, True)
    graph = tmp_path / "models" / "some--model" / "onnx" / "model.onnx"
    graph.write_bytes(b"cut")
    assert "damaged: onnx/model.onnx" in run("list")[1]
    assert run("pull", "some/model", "--quiet", "--revision", model_hub.COMMIT)[0] == 0
    assert graph.read_bytes() == b"a graph"
    hub.asked.clear()
    code, out, _ = run("pull", "some/model", "--quiet", "--revision", model_hub.COMMIT)
    assert (code, hub.asked) == (0, [])
    assert "some--model is complete" in out
    code, out, _ = run("pull", "some/model", "--quiet")
    assert (code, hub.asked_files()) == (0, [])
    assert "some--model is complete" in out


def test_the_catalog_is_listed_with_what_a_choice_needs(run: Run) -> None:
    _, out, _ = run("list")
    for model in CATALOG:
        line = next(each for each in out.splitlines() if each.startswith(f"{model.name} "))
        assert model.license in line
        assert model.languages in line
        assert f"{model.disk_mib():,}" in line
    names = [each["name"] for each in json.loads(run("list", "--json")[1])["catalog"]]
    assert names == [each.name for each in CATALOG]


def test_the_names_of_the_catalog_are_whole_on_a_narrow_terminal(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    first_words = [line.split(" ")[0] for line in run("list")[1].splitlines()]
    for model in CATALOG:
        assert first_words.count(model.name) == 2  # with sizes, and with its figure


def test_the_token_of_the_environment_opens_a_gated_model(
    hub: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.gated = True
    code, _, error = run("pull", "some/model", "--quiet")
    assert code == 2
    assert "is gated" in error
    monkeypatch.setenv("HF_TOKEN", hub.token)
    assert run("pull", "some/model", "--quiet")[0] == 0


def test_errors_name_the_next_step(
    hub: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    code, _, error = run("pull", "multilingual-e5", "--quiet")
    assert code == 2
    assert "Unknown model 'multilingual-e5'" in error
    assert "'multilingual-e5-small'" in error
    monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    code, _, error = run("pull", "some/model", "--quiet")
    assert code == 2
    assert "copy the folder of the model" in error


def test_a_proxy_of_the_environment_is_used(
    hub: ModelHub, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("NO_PROXY")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("HTTP_PROXY", hub.url)
    monkeypatch.setenv("HF_ENDPOINT", "http://hub.invalid")
    run("pull", "some/model", "--quiet")
    assert hub.asked[0][1].startswith("http://hub.invalid/api/models/some/model/revision/main")


def test_the_detectors_are_listed(run: Run) -> None:
    _, out, _ = run("list")
    assert "SIGHTLINE_DETECTOR__MODEL" in out
    listed = json.loads(run("list", "--json")[1])["detectors"]
    assert [each["repository"] for each in listed] == [each.repository for each in DETECTORS]
    assert all(each["repository"] in out for each in listed)
