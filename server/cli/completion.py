"""``sightline completion``: print a script that completes commands in a shell."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Final

from sightline.server.observability.terminal import write_lines

SHELLS: Final = ("bash", "zsh", "fish")
#: How to load the script, for the help.
_USE: Final = """\
bash: eval "$(sightline completion bash)" in ~/.bashrc
zsh:  eval "$(sightline completion zsh)" in ~/.zshrc, after compinit
fish: sightline completion fish > ~/.config/fish/completions/sightline.fish"""


def configure_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SHELLS)
    parser.description = f"{parser.description}\n{_USE}"


def run_completion(arguments: argparse.Namespace) -> None:
    from sightline.server.cli import build_parser

    words = dict(_completions(build_parser()))
    scripts = {"bash": _bash, "zsh": _zsh, "fish": _fish}
    write_lines(*scripts[arguments.shell](words))


def _completions(parser: argparse.ArgumentParser) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Yield each command line prefix with the words that may follow, and their help.

    The prefix of the program itself is empty. The prefix of an option with choices ends with the
    option. Files are completed by the shell.
    """
    command = parser.prog.partition(" ")[2]
    words: list[tuple[str, str]] = []
    for action in parser._actions:  # noqa: SLF001 - argparse has no other way
        if isinstance(action, argparse._SubParsersAction):  # noqa: SLF001
            for name, nested in action.choices.items():
                words.append((name, (nested.description or "").partition("\n")[0]))
                yield from _completions(nested)
        else:
            help_ = (action.help or "") % vars(action) if action.help else ""
            options = [option for option in action.option_strings if option[1:2] == "-"]
            words += [(option, help_) for option in options]
            choices = [(str(choice), "") for choice in action.choices or ()]
            if not options:
                words += choices
            elif choices:
                yield from ((f"{command} {option}".strip(), choices) for option in options)
    yield command, words


def _bash(words: dict[str, list[tuple[str, str]]]) -> Iterator[str]:
    yield "_sightline() {"
    yield '    local current="${COMP_WORDS[COMP_CWORD]}" words="" command="" word'
    yield '    for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do'
    yield '        case "${command:+$command }$word" in'
    commands = "|".join(f'"{command}"' for command in words if command and "--" not in command)
    yield f'            {commands}) command="${{command:+$command }}$word" ;;'
    yield "        esac"
    yield "    done"
    yield '    local previous="${COMP_WORDS[COMP_CWORD-1]}"'
    yield '    case "$command $previous" in'
    # The options come first, because the pattern of their command matches them, too.
    for command, following in sorted(words.items(), key=lambda each: "--" not in each[0]):
        listed = " ".join(word for word, _ in following)
        rest = "" if "--" in command else "*"
        yield f'        "{command}{"" if rest == "" else " "}"{rest}) words="{listed}" ;;'
    yield "    esac"
    yield '    COMPREPLY=($(compgen -W "$words" -- "$current"))'
    yield "}"
    # Without a match, file names.
    yield "complete -o bashdefault -o default -F _sightline sightline"


def _zsh(words: dict[str, list[tuple[str, str]]]) -> Iterator[str]:
    yield "autoload -U +X bashcompinit && bashcompinit"
    yield from _bash(words)


def _fish(words: dict[str, list[tuple[str, str]]]) -> Iterator[str]:
    """Complete what follows each command; fish finds the command by its words."""
    top = " ".join(word for word, _ in words[""] if not word.startswith("-"))
    for command, following in words.items():
        line, _, option = command.partition("--")
        parts = line.split()
        seen = "; and ".join(f"__fish_seen_subcommand_from {part}" for part in parts)
        condition = seen or f"not __fish_seen_subcommand_from {top}"
        if option:
            choices = " ".join(word for word, _ in following)
            yield f"complete -c sightline -n '{condition}' -x -l {option} -a '{choices}'"
            continue
        for word, help_ in following:
            kind = f"-l {word[2:]}" if word.startswith("--") else f"-a {word}"
            text = help_.replace("\\", "\\\\").replace("'", '"')
            yield f"complete -c sightline -n '{condition}' {kind} -d '{text}'"
