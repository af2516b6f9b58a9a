"""Install each framework into a folder of its own under ``build/frameworks``."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.frameworks.catalog import Framework

ROOT = Path(__file__).parents[2] / "build" / "frameworks"
_NODE_VERSION = "24"
_MAIN_PACKAGE_FILE = "installed.txt"


class InstallationError(Exception):
    """A package manager failed; the message is the end of its output."""


def install(framework: Framework) -> list[str]:
    """Install the newest releases unless that is done; return the command that runs a program."""
    folder = _folder(framework)
    stamp = folder / _MAIN_PACKAGE_FILE
    wanted = "\n".join(framework.packages)
    if not stamp.exists() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (_install_node if framework.uses_node else _install_python)(folder, framework.packages)
        stamp.write_text(wanted)
    if framework.uses_node:
        return [str(_node() / "node")]
    return [str(folder / "bin" / "python")]


def uninstall(framework: Framework) -> None:
    """Remove what `install` wrote, so that the next call installs the newest releases."""
    shutil.rmtree(_folder(framework), ignore_errors=True)


def program_of(framework: Framework) -> Path:
    """Return the program where its packages are found; Node.js looks beside the program."""
    if not framework.uses_node:
        return framework.path
    return Path(shutil.copy(framework.path, _folder(framework) / framework.path.name))


def version(framework: Framework) -> str:
    """Return name and version of the first package."""
    name = framework.packages[0].partition("[")[0]
    if framework.uses_node:
        package = _folder(framework) / "node_modules" / name / "package.json"
        return f"{name} {json.loads(package.read_text())['version']}"
    code = f"import importlib.metadata as m; print(m.version({name!r}))"
    python = _folder(framework) / "bin" / "python"
    return f"{name} {_run([str(python), '-c', code]).strip()}"


def _folder(framework: Framework) -> Path:
    return ROOT / framework.path.stem / ("node" if framework.uses_node else "python")


def _install_python(folder: Path, packages: tuple[str, ...]) -> None:
    python = str(folder / "bin" / "python")
    uv = Path(sys.executable).with_name("uv")
    if uv.exists():  # a tenth of the time
        _run([str(uv), "venv", "--quiet", "--python", sys.executable, "--clear", str(folder)])
        _run([str(uv), "pip", "install", "--quiet", "--python", python, *packages])
    else:
        _run([sys.executable, "-m", "venv", str(folder)])
        _run([python, "-m", "pip", "install", "--quiet", *packages])


def _install_node(folder: Path, packages: tuple[str, ...]) -> None:
    (folder / "package.json").write_text('{"private": true, "type": "module"}')
    _npm(folder, *packages)


def _node() -> Path:
    """Return the folder of Node.js, which npm has as a package."""
    machine = {"x86_64": "x64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    package = f"node-{sys.platform}-{machine}"
    folder = ROOT / "node"
    programs = folder / "node_modules" / package / "bin"
    if not programs.exists():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "package.json").write_text('{"private": true}')
        _run(_npm_command(f"{package}@{_NODE_VERSION}"), cwd=folder)
    return programs


def _npm(folder: Path, *packages: str) -> None:
    # npm chooses releases that the Node.js on its PATH can run.
    node = str(_node())
    environment = {"PATH": f"{node}{os.pathsep}{os.environ['PATH']}"}
    _run(_npm_command(*packages), cwd=folder, environment=environment)


def _npm_command(*packages: str) -> list[str]:
    quiet = ("--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error")
    return ["npm", "install", *quiet, *packages]


def _run(
    command: list[str], cwd: Path | None = None, environment: dict[str, str] | None = None
) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=False,
        )
    except FileNotFoundError as error:
        raise InstallationError(f"{command[0]} is missing") from error
    if done.returncode:
        raise InstallationError(" ".join((done.stderr or done.stdout).split())[-300:])
    return done.stdout
