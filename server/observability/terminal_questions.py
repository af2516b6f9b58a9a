"""Ask questions on a terminal. Ctrl-C and Ctrl-D raise KeyboardInterrupt.

Like everything that a command writes, questions and defaults are shown without control characters.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from sightline.server.observability.terminal import write_lines
from sightline.storage.errors import SightlineError, describe
from sightline.storage.text.hidden_characters import escape_hidden


def can_ask() -> bool:
    """Return whether a person sits at both ends."""
    return sys.stdin.isatty() and sys.stdout.isatty()


def ask_text(question: str, default: str = "", check: Callable[[str], str] = str) -> str:
    """Return what ``check`` makes of the answer; ask again after a SightlineError."""
    while True:
        answer = _ask(f"{question} [{default}]: " if default else f"{question}: ") or default
        try:
            return check(answer)
        except SightlineError as error:
            write_lines(describe(error))


def ask_choice(question: str, options: Mapping[str, str], default: str) -> str:
    """Return one of the options, which have a description each."""
    return ask_choices(question, options, (default,), maximum=1)[0]


def ask_choices(
    question: str, options: Mapping[str, str], defaults: Sequence[str], *, maximum: int = 0
) -> list[str]:
    """Return some of the options, by number or name, separated by commas."""
    names = list(options)
    write_lines(question)
    width = max(map(len, names))
    write_lines(
        *(f"  {number}. {name:{width}}  {options[name]}" for number, name in enumerate(names, 1))
    )
    shown = ",".join(str(names.index(each) + 1) for each in defaults if each in names)
    while True:
        answer = _ask(f"  choose [{shown}]: " if shown else "  choose: ") or shown
        words = [word.strip() for word in answer.split(",") if word.strip()]
        chosen = [_option(word, names) for word in words]
        if chosen and all(chosen) and (not maximum or len(chosen) <= maximum):
            return list(dict.fromkeys(each for each in chosen if each is not None))
        several = "one of them" if maximum == 1 else "some of them, separated by commas"
        write_lines(f"  Type the number or the name of {several}.")


def ask_yes(question: str, *, default: bool) -> bool:
    """Return whether the answer is yes."""
    while True:
        answer = _ask(f"{question} [{'Y/n' if default else 'y/N'}]: ").lower()
        if answer in ("y", "yes", "n", "no", ""):
            return answer.startswith("y") if answer else default
        write_lines("Type y or n.")


def _option(word: str, names: Sequence[str]) -> str | None:
    if word.isdecimal() and 1 <= int(word) <= len(names):
        return names[int(word) - 1]
    return word if word in names else None


def _ask(prompt: str) -> str:
    """Return a line of the user, with the keys of readline where it is installed."""
    with suppress(ImportError):
        import readline  # noqa: F401 - it changes `input`
    sys.stderr.flush()
    try:
        return input(escape_hidden(prompt)).strip()
    except EOFError:
        write_lines("")
        raise KeyboardInterrupt from None
