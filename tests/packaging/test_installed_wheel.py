"""The wheel in an empty environment, far away from the repository."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.sample_images import jpeg

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")

pytestmark = pytest.mark.slow

Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Install the wheel and the pinned packages; return a function that runs `sightline`."""
    home = tmp_path_factory.mktemp("home")
    python = home / "venv" / "bin" / "python"
    (wheel,) = built.glob("*.whl")
    install = [str(UV), "pip", "install", "--quiet", "--no-deps", "--python", str(python)]
    lock = ROOT / "requirements.lock"
    subprocess.run(
        [str(UV), "venv", "--quiet", "--python", sys.executable, home / "venv"], check=True
    )
    subprocess.run([*install, "--require-hashes", "--requirement", lock], check=True)
    subprocess.run([*install, wheel], check=True)

    def sightline(*arguments: str | Path, timeout: float = 600) -> str:
        environment = {"HOME": str(home), "PATH": os.defpath, "SIGHTLINE_ENCODER__THREADS": "1"}
        environment["SIGHTLINE_STARTUP_TIMEOUT_SECONDS"] = "300"
        done = subprocess.run(
            [str(python.with_name("sightline")), *map(str, arguments)],
            cwd=home,
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            timeout=timeout,
        )
        return done.stdout.decode()

    return sightline


def test_the_version_is_that_of_the_wheel(run: Run, built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    assert run("--version") == f"sightline {wheel.name.split('-')[1]}\n"


def test_the_first_search_finds_a_picture(run: Run, tmp_path: Path) -> None:
    for number, caption in enumerate(("a green circle", "a red square")):
        (tmp_path / f"{number}.jpg").write_bytes(jpeg(number))
        (tmp_path / f"{number}.txt").write_text(caption)
    run("ingest", tmp_path, "--collection", "first")
    found = json.loads(run("search", "green circle", "--collection", "first", "--json"))
    assert found["hits"][0]["source"].endswith("0.jpg")
