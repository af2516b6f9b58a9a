"""The command lines of the guides for installation, deployment and upgrade."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from sightline.server.cli import build_parser

ROOT = Path(__file__).parents[2]
GUIDES = ("install.md", "deploy.md", "upgrade.md")
COMPOSE = yaml.safe_load((ROOT / "packaging/docker/compose.yaml").read_text(encoding="utf-8"))
_BLOCK = re.compile(r"^( *)```sh\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


def blocks(text: str) -> list[str]:
    """Return the shell scripts of a page."""
    return [
        "\n".join(line.removeprefix(indent) for line in script.splitlines())
        for indent, script in _BLOCK.findall(text)
    ]


def lines(script: str) -> list[list[str]]:
    """Return the words of each command of a script."""
    joined = script.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


SCRIPTS = [
    pytest.param(script, id=f"{name}-{number}")
    for name in GUIDES
    for number, script in enumerate(blocks((ROOT / "docs/how-to" / name).read_text("utf-8")))
]
ALL = [words for each in SCRIPTS for words in lines(str(each.values[0]))]


def arguments_of_sightline(words: list[str]) -> list[str] | None:
    """Return the arguments of Sightline in a command line, or None if it does not run it."""
    if ">" in words or ">>" in words:
        words = words[: next(i for i, word in enumerate(words) if word in {">", ">>"})]
    starts = [i for i, word in enumerate(words) if Path(word).name == "sightline"]
    if not starts or words[0] in {"install", "chgrp", "systemctl", "cp"}:
        return None
    if words[0] == "docker":
        # The image of `docker run`, the service of `docker compose run`.
        return words[starts[-1] + 1 :] if "run" in words[: starts[-1]] else None
    return words[starts[-1] + 1 :]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_shell_accepts_each_script(script: str) -> None:
    subprocess.run(["bash", "-n"], input=script.encode(), check=True)


def test_each_command_of_sightline_exists() -> None:
    called = [given for words in ALL if (given := arguments_of_sightline(words)) is not None]
    assert {given[0] for given in called if given} >= {"serve", "migrate", "ingest", "token"}
    for given in called:
        if given and not given[0].startswith("/"):
            build_parser().parse_args(given)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "sightline search 'a van' --collection album",
            ["search", "a van", "--collection", "album"],
        ),
        (".venv/bin/sightline token a >> tokens", ["token", "a"]),
        ("runuser -u x -- env A=b /opt/sightline/bin/sightline migrate", ["migrate"]),
        ("docker run --rm --volume sightline:/data sightline serve", ["serve"]),
        ("docker compose --file a up --detach", None),
        ("systemctl enable --now sightline", None),
    ],
)
def test_commands_of_sightline_are_found(line: str, expected: list[str] | None) -> None:
    assert arguments_of_sightline(shlex.split(line)) == expected


def test_each_file_that_a_command_reads_exists() -> None:
    named = {word for words in ALL for word in words if word.startswith("packaging/")}
    made = {"packaging/docker/.env", "packaging/docker/tokens"}
    assert len(named) > 8
    assert {path for path in named - made if not (ROOT / path).exists()} == set()


def test_each_unit_that_a_command_starts_exists() -> None:
    verbs = {"start", "stop", "enable", "restart", "--now"}
    units = {
        word
        for words in ALL
        if words[0] == "systemctl" and len(words) > 2
        for word in words[2:]
        if word not in verbs
    }
    known = {path.name for path in (ROOT / "packaging/systemd").iterdir()} | {"nginx"}
    assert {name for name in units if {name, f"{name}.service"} & known == set()} == set()
    assert "sightline" in units


def test_each_service_that_a_command_uses_exists() -> None:
    compose = [words for words in ALL if words[:2] == ["docker", "compose"]]
    named = {words[i + 1] for words in compose for i, w in enumerate(words) if w == "--profile"}
    profiles = {name for each in COMPOSE["services"].values() for name in each.get("profiles", [])}
    assert named == profiles
    services = {
        word
        for words in compose
        for word in words[words.index("--file") + 2 :]
        if word in {"postgres", "sightline", "vllm"}
    }
    assert services <= set(COMPOSE["services"])
    assert len(compose) >= 8


def test_each_target_of_make_exists() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = {word for words in ALL if words[0] == "make" for word in words[1:]}
    assert "package" in targets
    for target in targets:
        name = target.replace(".venv/.installed", "$(BASE)")
        assert re.search(rf"^{re.escape(name)}:", makefile, re.MULTILINE), target
