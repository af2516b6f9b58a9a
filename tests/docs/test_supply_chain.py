"""What is installed is what was looked at: pinned, hashed and listed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_PINNED = re.compile(r"^([\w.-]+)(?:\[[\w,-]+\])?==(\S+)(.*)", re.MULTILINE)


@pytest.mark.parametrize("name", ["requirements.lock", "requirements-dev.lock"])
def test_every_requirement_is_pinned_with_hashes(name: str) -> None:
    lock = (ROOT / name).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=\S)", re.sub(r"(?m)^\s*#.*\n?", "", lock).strip())
    assert len(entries) > 100
    unpinned = [e for e in entries if not _PINNED.match(e) or "--hash=sha256:" not in e]
    assert unpinned == []


def test_the_base_is_a_part_of_the_rest_and_has_no_torch() -> None:
    base, everything = (
        {(name, version) for name, version, _ in _PINNED.findall((ROOT / file).read_text("utf-8"))}
        for file in ("requirements.lock", "requirements-dev.lock")
    )
    assert base < everything
    names = {name for name, _ in base}
    assert not [n for n in names if n.startswith(("torch", "triton", "nvidia", "open-clip"))]
    # A fifth of the size of the base, for a little drawing and one metric.
    assert not names & {"transformers", "scipy", "matplotlib", "supervision", "pandas"}


def test_the_bill_of_materials_lists_every_pinned_version(tmp_path: Path) -> None:
    bill = tmp_path / "sbom.json"
    subprocess.run(
        [
            *(Path(sys.executable).with_name("cyclonedx-py"), "requirements", "requirements.lock"),
            *("--pyproject", "pyproject.toml", "--no-validate", "--output-file", bill),
        ],
        cwd=ROOT,
        check=True,
    )
    said = json.loads(bill.read_text(encoding="utf-8"))
    listed = {(each["name"], each["version"]) for each in said["components"]}
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert listed == {(name, version) for name, version, _ in _PINNED.findall(lock)}
    assert said["metadata"]["component"]["name"] == "sightline-mcp"
    assert all(each["externalReferences"][0]["hashes"] for each in said["components"])
