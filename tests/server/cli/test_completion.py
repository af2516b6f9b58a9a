"""Shells complete commands, actions, options and choices."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from sightline.server.cli import main
from sightline.server.cli.command_table import COMMANDS

#: Completes the last word of each line of stdin, as bash does, and prints the words in one line.
_DRIVER = """
while IFS= read -r line; do
    read -ra COMP_WORDS <<< "$line"
    [[ "$line" == *" " ]] && COMP_WORDS+=("")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMPREPLY=()
    _sightline
    echo "${COMPREPLY[@]}"
done
complete -p sightline
"""


def test_bash_completes_commands_actions_options_and_choices(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    lines = ["sightline ", "sightline col", "sightline models ", "sightline models pull --pre",
             "sightline collections rename album --", "sightline --config x export --format pa",
             "sightline ingest ~/Pi"]  # fmt: skip
    done = subprocess.run(
        ["bash", "--norc", "-c", script + _DRIVER],
        input="\n".join(lines) + "\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    words = [line.split() for line in done.stdout.splitlines()]
    assert set(words[0]) > set(COMMANDS)
    assert words[1] == ["collections"]
    assert {"list", "pull", "export", "remove"} <= set(words[2])
    assert words[3] == ["--precision"]
    assert words[4] == ["--help", "--json"]
    assert words[5] == ["parquet"]
    assert words[6] == []  # bash completes file names itself
    assert "-o default" in done.stdout.splitlines()[7]


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_get_a_script_with_all_commands(
    shell: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", shell]) == 0
    lines = capsys.readouterr().out.splitlines()
    if shell == "zsh":
        assert lines[0] == "autoload -U +X bashcompinit && bashcompinit"
        return
    words = [shlex.split(line) for line in lines]
    assert all(each[:4] == ["complete", "-c", "sightline", "-n"] for each in words)
    offered = {each[6] for each in words if each[5] == "-a"}
    assert set(COMMANDS) <= offered
