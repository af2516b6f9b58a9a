"""Published schemas and linters accept what `packaging` contains, and find mistakes in it.

`make package-check` installs the programs and runs these tests.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "packaging"
#: Where the Makefile installs the programs; another folder for a test of a test.
TOOLS = Path(os.environ.get("PACKAGE_CHECKS", ROOT / "build" / "package-checks"))

pytestmark = pytest.mark.validators


def run(program: str, *arguments: str | Path) -> tuple[int, str]:
    """Return the exit code and the output of a program."""
    places = (TOOLS / "bin" / program, TOOLS / "node_modules" / ".bin" / program)
    path = next((place for place in places if place.exists()), None)
    assert path is not None, f"there is no {program} in {TOOLS}; run: make package-check"
    done = subprocess.run(
        [str(path), *map(str, arguments)],
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.returncode, done.stdout.decode()


def hadolint(file: Path) -> tuple[int, str]:
    return run("hadolint", "--failure-threshold", "style", file)


def compose_schema(file: Path) -> tuple[int, str]:
    return run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", file)


def gixy(file: Path) -> tuple[int, str]:
    return run("gixy", file)


def mcpb(file: Path) -> tuple[int, str]:
    return run("mcpb", "validate", file)


def skillsaw(file: Path) -> tuple[int, str]:
    """Lint a folder: it recognizes a skill, or an entry of the registry, by its name."""
    return run("skillsaw", "lint", "--strict", file.parent)


def test_hadolint_accepts_the_dockerfile() -> None:
    assert hadolint(FOLDER / "docker" / "Dockerfile") == (0, "")


def test_the_compose_file_matches_the_schema_of_compose() -> None:
    code, said = compose_schema(FOLDER / "docker" / "compose.yaml")
    assert code == 0, said


def test_gixy_finds_no_problem_in_the_configuration_of_nginx() -> None:
    code, said = gixy(FOLDER / "nginx" / "sightline.conf")
    assert code == 0, said
    assert "No issues found" in said


def test_the_skill_has_no_problem() -> None:
    code, said = skillsaw(FOLDER / "skill" / "sightline" / "SKILL.md")
    assert code == 0, said
    assert "Skills:    1" in said


def test_the_entry_matches_the_schema_of_the_registry(built: Path, tmp_path: Path) -> None:
    shutil.copy(built / "server.json", tmp_path)
    code, said = skillsaw(tmp_path / "server.json")
    assert code == 0, said
    assert "mcp-registry" in said


def test_the_bundle_matches_the_schema_of_bundles(built: Path, tmp_path: Path) -> None:
    (bundle,) = built.glob("*.mcpb")
    with zipfile.ZipFile(bundle) as archive:
        archive.extractall(tmp_path)
    code, said = mcpb(tmp_path / "manifest.json")
    assert code == 0, said
    code, said = run("mcpb", "info", bundle)
    assert code == 0, said


@pytest.mark.parametrize(
    ("check", "name", "old", "new"),
    [
        (hadolint, "docker/Dockerfile", "WORKDIR /build", "WORKDIR build"),
        (hadolint, "docker/Dockerfile", "USER 10001:10001", "USER root"),
        (hadolint, "docker/Dockerfile", 'ENTRYPOINT ["sightline"]', "ENTRYPOINT sightline"),
        (compose_schema, "docker/compose.yaml", "restart: unless-stopped", "restrat: always"),
        (compose_schema, "docker/compose.yaml", "retries: 12", "retries: [12]"),
        (gixy, "nginx/sightline.conf", "$host$request_uri", "$host$uri"),
        (skillsaw, "skill/sightline/SKILL.md", "name: sightline", "name: Sight Line"),
    ],
)
def test_mistakes_are_found(
    check: Callable[[Path], tuple[int, str]], name: str, old: str, new: str, tmp_path: Path
) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    assert old in text
    file = tmp_path / Path(name).parent.name / Path(name).name
    file.parent.mkdir()
    file.write_text(text)
    assert check(file)[0] == 0
    file.write_text(text.replace(old, new))
    assert check(file)[0] != 0


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("server.json", "version", "latest"),
        ("server.json", "name", "sightline"),
        ("server.json", "description", "long " * 30),
        ("server.json", "packages", [{"registryType": "pypi"}]),
        ("manifest.json", "server", {"type": "uv"}),
        ("manifest.json", "unknown", 1),
        ("manifest.json", "user_config", {"folders": {"type": "folder"}}),
    ],
)
def test_mistakes_in_an_entry_are_found(
    name: str, key: str, value: object, built: Path, tmp_path: Path
) -> None:
    if name == "server.json":
        table = json.loads((built / name).read_text(encoding="utf-8"))
        check = skillsaw
    else:
        (bundle,) = built.glob("*.mcpb")
        with zipfile.ZipFile(bundle) as archive:
            archive.extractall(tmp_path)
        table = json.loads((tmp_path / name).read_text(encoding="utf-8"))
        check = mcpb
    (tmp_path / name).write_text(json.dumps({**table, key: value}))
    assert check(tmp_path / name)[0] != 0
