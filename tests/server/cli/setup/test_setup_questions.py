"""The questions of `sightline setup`, on a real pseudo-terminal."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.support import model_hub
from tests.support.model_hub import ModelHub
from tests.support.pseudo_terminal import PseudoTerminal


@pytest.fixture
def hub() -> Iterator[ModelHub]:
    with model_hub.serve() as hub:
        yield hub


@pytest.fixture
def environment(tmp_path: Path, database_dsn: str, hub: ModelHub) -> Mapping[str, str]:
    """The account of a new user with one installed client, and a folder of documents."""
    folder = tmp_path / "papers"
    folder.mkdir()
    (folder / "invoice.txt").write_text("Invoice 7: the total amount is 300 euros.")
    (tmp_path / ".cursor").mkdir()
    return {
        "HOME": str(tmp_path),
        "PATH": "/usr/bin:/bin",
        "XDG_CONFIG_HOME": str(tmp_path / "config"),
        "XDG_DATA_HOME": str(tmp_path / "share"),
        "SIGHTLINE_DATABASE__URL": database_dsn,
        "SIGHTLINE_INGEST__OCR": "off",
        "SIGHTLINE_INGEST__WORKERS": "1",
        "SIGHTLINE_STARTUP_TIMEOUT_SECONDS": "200",
        "HF_ENDPOINT": hub.url,
        "NO_PROXY": "127.0.0.1,localhost",
    }


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_new_user_is_led_to_the_first_answer(
    environment: Mapping[str, str], tmp_path: Path
) -> None:
    with PseudoTerminal("setup", environment=environment) as user:
        user.answer("Folder to make searchable", "/no/such/place")
        user.wait_for("There is no folder or file '/no/such/place'.")
        user.answer("Folder to make searchable", "~/papers")
        user.answer("Name of the collection", "papers")
        user.wait_for("2. documents")
        user.answer("choose [2]:", "")
        user.answer("Languages", "de")
        user.wait_for("multilingual-e5-small")
        user.answer("Use these models? [Y/n]", "n")
        user.answer("choose [1]:", "builtin")
        user.answer("choose [2]:", "9")
        user.answer("Type the number or the name of one of them.", "encoder")
        user.answer("choose [1]:", "off")
        user.answer("Answers:", "builtin")
        user.wait_for('+ model = "builtin"')
        user.answer("Write this file? [Y/n]", "y")
        user.answer("First search [total amount]", "invoice")
        user.wait_for("papers/invoice.txt")
        user.answer("Connect Cursor? [y/N]", "yes")
        assert user.end() == 0, user.text
    config = tmp_path / "config" / "sightline" / "sightline.toml"
    assert tomllib.loads(config.read_text()) == {"vlm": {"model": "builtin"}}
    assert "sightline" in json.loads((tmp_path / ".cursor/mcp.json").read_text())["mcpServers"]


@pytest.mark.parametrize("answered", [0, 3, 6])
def test_ctrl_c_at_a_question_leaves_nothing(
    environment: Mapping[str, str], tmp_path: Path, answered: int
) -> None:
    before = files(tmp_path)
    questions = [
        ("Folder to make searchable (- for none) [-]:", "~/papers"),
        ("Name of the collection", ""),
        ("choose [2]:", "1"),
        ("Languages", "en"),
        ("Use these models?", "n"),
        ("choose [", "builtin"),
    ]
    arguments = ["setup", "--answers", "builtin", "--passage-model", "encoder", "--reranker", "off"]
    with PseudoTerminal(*arguments, environment=environment) as user:
        for question, answer in questions[:answered]:
            user.answer(question, answer)
        user.wait_for(questions[answered][0] if answered < len(questions) else "Write this file?")
        user.interrupt()
        assert user.end() == 130, user.text
    assert "sightline setup: stopped" in user.text
    assert files(tmp_path) == before


def test_no_to_the_change_changes_nothing(environment: Mapping[str, str], tmp_path: Path) -> None:
    before = files(tmp_path)
    arguments = [
        "--offline",
        "--material",
        "documents",
        "--languages",
        "en",
        "--answers",
        "builtin",
    ]
    with PseudoTerminal("setup", *arguments, environment=environment) as user:
        user.answer("Folder to make searchable", "-")
        user.answer("Use these models?", "")
        user.answer("Write this file?", "n")
        user.wait_for("Nothing was changed.")
        assert user.end() == 1, user.text
    assert files(tmp_path) == before
