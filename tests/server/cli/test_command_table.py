"""The help of the command line: groups, examples and exit codes."""

from __future__ import annotations

import argparse
import shlex
import subprocess
import sys
from collections.abc import Iterator

import pytest

from sightline.server.cli import build_parser, main
from sightline.server.cli.command_table import COMMANDS, EXIT_CODES

_MAX_LINES = 40
_MAX_COLUMNS = 80


def _leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    nested = [
        child
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for child in action.choices.values()
    ]
    for child in nested:
        yield from _leaves(child)
    if not nested:
        yield parser


LEAVES = {parser.prog: parser for parser in _leaves(build_parser())}


def test_the_help_fits_on_a_screen_and_names_each_command_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["--help"])
    assert exit_.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= _MAX_LINES
    assert max(map(len, lines)) <= _MAX_COLUMNS
    named = [line[9:].split()[0] for line in lines[1:-1]]
    assert named == list(COMMANDS)


def test_without_a_command_the_help_is_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "sightline COMMAND --help" in printed.err


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("doctr", "Unknown command 'doctr'. Did you mean doctor? All commands: sightline --help"),
        ("q\x1b[2J", "Unknown command 'q\\x1b[2J'. All commands: sightline --help"),
    ],
)
def test_an_unknown_command_names_close_ones(
    word: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([word, "--json"]) == 2
    assert capsys.readouterr().err == f"sightline: {message}\n"


@pytest.mark.parametrize("prog", LEAVES)
def test_the_help_of_a_command_has_an_example_that_parses_and_the_exit_codes(prog: str) -> None:
    text = LEAVES[prog].format_help()
    title, _, codes = text.partition("exit codes:\n")
    examples = [line for line in title.splitlines() if line.startswith(f"  {prog}")]
    assert examples, f"add an example of {prog} to command_table.py"
    for line in examples:
        words = shlex.split(line.partition(" > ")[0])[1:]
        assert build_parser(words[0]).parse_args(words).command == words[0]
    assert [int(line.split()[0]) for line in codes.splitlines()] == list(EXIT_CODES)


#: They print a protocol, a script, or what another program or a tour prints.
_WITHOUT_JSON = {
    *("sightline completion", "sightline demo", "sightline open", "sightline serve"),
    *("sightline sql", "sightline vlm serve", "sightline world"),
}


def test_each_other_command_prints_json() -> None:
    without = {
        prog for prog, parser in LEAVES.items() if "--json" not in parser._option_string_actions
    }
    assert without == _WITHOUT_JSON


def test_each_description_says_what_the_command_does() -> None:
    assert [prog for prog, parser in LEAVES.items() if not parser.description] == []


@pytest.mark.parametrize(
    ("command", "code"),
    [(["--version"], 0), (["show"], 2), (["no-such-command"], 2), (["sql", "--help"], 0)],
)
def test_arguments_decide_the_exit_code(command: list[str], code: int) -> None:
    program = "import sys; from sightline.server.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", program, *command], capture_output=True, text=True, check=False
    )
    assert done.returncode == code
    assert bool(done.stderr) == (code != 0)
    if command == ["no-such-command"]:
        assert "Unknown command 'no-such-command'" in done.stderr
        assert "sightline --help" in done.stderr
