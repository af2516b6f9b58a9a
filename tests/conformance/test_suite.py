"""The official conformance suite, in both revisions of the protocol."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.conftest import SUITE, run_node

pytestmark = [
    pytest.mark.conformance,
    # The fixtures use what the newest revision deprecates: the older one is tested too.
    pytest.mark.filterwarnings("ignore::mcp.MCPDeprecationWarning"),
]

EXPECTED = Path(__file__).with_name("expected-failures.yaml")
_RESULT = re.compile(r"server-(?P<scenario>.+)-\d{4}-\d\d-\d\dT[\d-]+Z")


def expected_failures() -> set[str]:
    entries = re.findall(r"^ +- (\S+)$", EXPECTED.read_text(encoding="utf-8"), re.MULTILINE)
    return set(entries)


def failures(results: Path) -> dict[str, list[str]]:
    """What failed, by scenario; a scenario that ran and passed has an empty list."""
    found: dict[str, list[str]] = {}
    for folder in results.iterdir():
        match = _RESULT.fullmatch(folder.name)
        assert match is not None, folder
        checks: list[dict[str, Any]] = json.loads((folder / "checks.json").read_text())
        found[match["scenario"]] = [
            f"{check['id']}: {check.get('errorMessage')}"
            for check in checks
            if check["status"] == "FAILURE"
        ]
    return found


#: Scenarios of the suite's own list for the revision, those that are not scored included.
@pytest.mark.parametrize(("revision", "scenarios"), [("2025-11-25", 33), ("2026-07-28", 50)])
async def test_every_scenario_passes_but_those_that_are_explained(
    revision: str, scenarios: int, fixtures_url: str, tmp_path: Path
) -> None:
    results = tmp_path / "results"
    ended = await run_node(
        SUITE, "server", "--url", fixtures_url, "--requirements", revision, "-o", str(results)
    )
    assert ended.code == 0, ended.out + ended.err
    found = failures(results)
    assert len(found) == scenarios, sorted(found)
    expected = expected_failures()
    assert {name: why for name, why in found.items() if why and name not in expected} == {}
    assert {name for name, why in found.items() if not why and name in expected} == set()
