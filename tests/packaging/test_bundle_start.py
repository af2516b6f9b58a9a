"""The program of the MCP bundle, started as a desktop application does."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from mcp import Client, StdioServerParameters

from sightline.server.config import load_settings
from tests.packaging.conftest import load_script
from tests.support.settings import NO_DATABASE

ROOT = Path(__file__).parents[2]
MAIN = ROOT / "packaging" / "mcpb" / "main.py"
MANIFEST = json.loads((ROOT / "packaging" / "mcpb" / "manifest.json").read_text(encoding="utf-8"))


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Set the variables of the manifest, none filled in by the user."""
    for name, value in MANIFEST["server"]["mcp_config"]["env"].items():
        monkeypatch.setenv(name, value)
    # Set by the program, so it must be removed after the test.
    monkeypatch.setenv("SIGHTLINE_ALLOWED_ROOTS", "")
    return monkeypatch


@pytest.mark.usefixtures("variables")
def test_choices_that_were_left_empty_are_no_settings() -> None:
    """Some applications leave ``${user_config.KEY}`` in place of an empty optional value."""
    load_script(MAIN).apply_choices(["${user_config.folders}"])
    settings = load_settings()
    assert settings.vlm.base_url is None
    assert settings.encoder.model == "builtin"
    assert settings.allowed_roots == ()


def test_choices_are_settings(variables: pytest.MonkeyPatch, tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b with a space"]
    for folder in folders:
        folder.mkdir()
    variables.setenv("SIGHTLINE_VLM__BASE_URL", "http://127.0.0.1:8000/v1")
    load_script(MAIN).apply_choices([*map(str, folders), ""])
    settings = load_settings()
    assert settings.allowed_roots == tuple(folders)
    assert settings.vlm.base_url == "http://127.0.0.1:8000/v1"


async def test_an_application_gets_the_tools_from_the_bundle(tmp_path: Path) -> None:
    chosen = {"data_dir": str(tmp_path / "data")}
    variables = {
        name: chosen.get(value[len("${user_config.") : -1], value)
        for name, value in MANIFEST["server"]["mcp_config"]["env"].items()
    }
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    server = StdioServerParameters(
        command=sys.executable,
        args=[str(MAIN), str(tmp_path)],
        env={**kept, **variables, "HOME": str(tmp_path), "SIGHTLINE_DATABASE__URL": NO_DATABASE},
    )
    async with Client(server) as client:
        assert "search_images" in {tool.name for tool in (await client.list_tools()).tools}
