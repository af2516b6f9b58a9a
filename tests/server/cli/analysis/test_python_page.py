"""The programs of docs/how-to/analyze-python.md run and print what they find."""

from __future__ import annotations

import asyncio
import re
from importlib.util import find_spec
from pathlib import Path

import psycopg
import pytest

from sightline.server.cli import main
from sightline.storage.analytics.analyst_roles import grant_analyst, revoke_analyst
from sightline.storage.postgres import EmbeddedPostgres

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "analyze-python.md"
PROGRAMS = dict(
    re.findall(
        r"^## ([^\n]+)\n(?:(?!^## ).)*?^```python\n(.*?)^```$",
        PAGE.read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
)
EXPECTED = {
    "psycopg": "000000000000 is nearest to 000000000000 at 0.000\n",
    "Search by words": "000000000000.jpg 0.000\n000000000001.jpg 0.000\n",
    "SQLAlchemy": r"HALFVEC 00000000000[01] [\d.]+\n",
    "pandas": r"collection +kind +asset_count\n +album +image +2\n",
    "Tables of your own": "",
    "DuckDB": r"\[\('album', 2, \d+\)\]\n",
}
NEEDED = {"pandas": "pandas", "DuckDB": "duckdb"}


def test_each_program_has_a_test() -> None:
    assert PROGRAMS.keys() == EXPECTED.keys()


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_prints_what_it_finds(
    name: str,
    words_installation: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if name in NEEDED and find_spec(NEEDED[name]) is None:
        pytest.skip(f"{NEEDED[name]} is not installed")
    monkeypatch.chdir(tmp_path)
    with EmbeddedPostgres(words_installation) as postgres:
        url = asyncio.run(grant_analyst(postgres.dsn(), "page", schema="lab"))
        monkeypatch.setenv("ANALYST_URL", url)
        try:
            if name == "DuckDB":
                for command in re.findall(r"^\.venv/bin/sightline (.+)$", PAGE.read_text(), re.M):
                    assert main(command.split()) == 0
            exec(compile(PROGRAMS[name], name, "exec"), {"__name__": "__main__"})
        finally:
            with psycopg.connect(postgres.dsn()) as connection:
                connection.execute("DROP OWNED BY page")
                connection.execute("DROP SCHEMA IF EXISTS lab")
            asyncio.run(revoke_analyst(postgres.dsn(), "page"))
    assert re.fullmatch(EXPECTED[name], capsys.readouterr().out)
