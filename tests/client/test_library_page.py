"""The programs of the page on library use run and find what they look for."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from sightline.server.config import Settings, variable
from tests.client.conftest import CAPTIONS, Server
from tests.client.scripted_llm import calling
from tests.support import random_cross_encoder

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "library.md"
PROGRAMS = dict(
    re.findall(
        r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
EXPECTED = {
    "Search": (f"0000.jpg None {CAPTIONS[0]}", "notes.md None The bus to the harbour leaves"),
    "Search on a server": ("0000.jpg", "bytes"),
    "Use LlamaIndex": ("The bus to the harbour leaves at seven.", "notes.md"),
    "Filter": ("[1, 2] True",),
    "Pass pictures to a model": ("0000.jpg image/jpeg",),
    "Rerank": ("0000.jpg A red bus at the harbour",),
    "Use an agent": ("Found: asset: ", CAPTIONS[0]),
    "Use LangChain": ("At seven.", "notes.md"),
}


@pytest.fixture
def configured(installation: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Set the variables of the installation that the programs open."""
    assert installation.database.url is not None
    for name, value in (
        ("data_dir", str(installation.data_dir)),
        ("database__url", installation.database.url.get_secret_value()),
        ("encoder__model", installation.encoder.model),
        ("encoder__threads", "1"),
    ):
        monkeypatch.setenv(variable(name), value)
    return installation


def test_each_program_has_a_test() -> None:
    assert PROGRAMS.keys() == EXPECTED.keys()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of LlamaIndex's agents
@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_what_it_finds(
    name: str,
    configured: Settings,
    server: Server,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name == "Rerank":  # the order of a random model says nothing to the other programs
        reranker = random_cross_encoder.write(tmp_path / "random-cross-encoder")
        monkeypatch.setenv(variable("reranker__model"), f"local-dir:{reranker}")
        monkeypatch.setenv(variable("reranker__timeout_seconds"), "60")
    monkeypatch.setenv("TOKEN", server.tokens["alice"])
    program = PROGRAMS[name].replace("https://sightline.example.com/mcp", server.url)
    program = program.replace("MockFunctionCallingLLM()", "LLM")
    llm = calling("find_images", query="red bus harbour")
    exec(compile(program, f"{PAGE.name}: {name}", "exec"), {"__name__": "__main__", "LLM": llm})
    printed = capsys.readouterr().out
    assert [text for text in EXPECTED[name] if text not in printed] == []
