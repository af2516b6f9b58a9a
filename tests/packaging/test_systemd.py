"""The systemd units: valid, hardened, and with settings that exist."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sightline.server.cli import build_parser
from sightline.server.config import load_settings
from sightline.server.config.settings_reference import list_settings

FOLDER = Path(__file__).parents[2] / "packaging" / "systemd"
UNITS = ("sightline.service", "sightline-backup.service", "sightline-backup.timer")
SERVICES = UNITS[:2]
#: Of 100. A unit without any hardening has 96.
MAX_EXPOSURE = 25

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed"
)


def values(unit: str, key: str) -> list[str]:
    """Return the values of a key of a unit."""
    text = (FOLDER / unit).read_text(encoding="utf-8")
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def _installed(folder: Path, change: tuple[str, str] = ("", "")) -> list[str]:
    """Copy the units with a program that exists, and return their paths."""
    for unit in UNITS:
        text = (FOLDER / unit).read_text(encoding="utf-8")
        text = text.replace("/opt/sightline/bin/sightline", sys.executable)
        folder.joinpath(unit).write_text(text.replace(*change) if change[0] else text)
    return [str(folder / unit) for unit in UNITS]


def _verify(units: list[str]) -> tuple[int, str]:
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=one", *units],
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    # The units of the machine itself may have warnings.
    lines = done.stdout.decode().splitlines()
    return done.returncode, "\n".join(line for line in lines if "sightline" in line)


@needs_systemd
def test_systemd_accepts_the_units(tmp_path: Path) -> None:
    assert _verify(_installed(tmp_path)) == (0, "")


@needs_systemd
@pytest.mark.parametrize(
    "change",
    [
        ("ProtectSystem=strict", "ProtectSystem=strikt"),
        ("KillMode=mixed", "KilMode=mixed"),
        ("OnCalendar=*-*-* 02:30:00", "OnCalendar=at night"),
        ("SystemCallFilter=@system-service", "SystemCallFilter=@system-services"),
    ],
)
def test_systemd_finds_mistakes(change: tuple[str, str], tmp_path: Path) -> None:
    code, said = _verify(_installed(tmp_path, change))
    assert code != 0 or said != ""


def _exposure(unit: str, threshold: int) -> int:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", f"--threshold={threshold}", unit],
        check=False,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return done.returncode


@needs_systemd
@pytest.mark.parametrize("index", range(len(SERVICES)))
def test_the_services_have_few_rights(index: int, tmp_path: Path) -> None:
    assert _exposure(_installed(tmp_path)[index], MAX_EXPOSURE) == 0


@needs_systemd
def test_a_service_with_more_rights_is_found(tmp_path: Path) -> None:
    unit = _installed(tmp_path, ("CapabilityBoundingSet=\n", "\n"))[0]
    assert _exposure(unit, MAX_EXPOSURE) != 0


@pytest.mark.parametrize("unit", SERVICES)
def test_the_command_of_a_service_exists(unit: str) -> None:
    (command,) = values(unit, "ExecStart")
    words = shlex.split(command)
    if words[0] == "/bin/sh":
        words = shlex.split(re.sub(r"\$\([^)]*\)", "day", words[2].removeprefix("exec ")))
    assert words[0] == "/opt/sightline/bin/sightline"
    build_parser().parse_args(words[1:])


@pytest.mark.parametrize("unit", SERVICES)
def test_the_variables_of_a_service_are_settings(unit: str) -> None:
    named = {value.split("=")[0] for value in values(unit, "Environment")}
    known = {row.variable for row in list_settings()} | {"SIGHTLINE_CONFIG", "HOME", "LC_ALL"}
    assert named - known == set()
    assert values(SERVICES[0], "EnvironmentFile") == values(unit, "EnvironmentFile")


def test_systemd_waits_longer_than_the_server_needs_to_stop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(FOLDER / "sightline.toml"))
    (wait,) = values("sightline.service", "TimeoutStopSec")
    assert int(wait) >= 3 * load_settings().http.shutdown_timeout_seconds


def test_the_settings_of_the_service_are_valid(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SIGHTLINE_CONFIG", str(FOLDER / "sightline.toml"))
    settings = load_settings()
    assert settings.http.public_url == "https://eyes.example/sight/mcp"
    # In folders that the service may use.
    assert str(settings.auth.tokens_file).startswith("/etc/sightline/")
    assert str(settings.log.audit_file).startswith("/var/log/sightline/")
    assert values("sightline.service", "LogsDirectory") == ["sightline"]


def test_the_backup_of_a_weekday_replaces_that_of_the_last_week() -> None:
    (command,) = values("sightline-backup.service", "ExecStart")
    script = shlex.split(command)[2].replace("%%", "%")
    path = script.partition("--force ")[2]
    done = subprocess.run(["sh", "-c", f"echo {path}"], check=True, stdout=subprocess.PIPE)
    assert re.fullmatch(rb"/var/backups/sightline/\w+day\.backup\n", done.stdout)
    assert "--force" in script
    assert values("sightline-backup.service", "ReadWritePaths") == ["/var/backups/sightline"]
