"""Write everything that a command prints to stdout and stderr.

Captions, names and errors contain untrusted text. Written as it is, an escape sequence in it
could clear the screen, fill the clipboard or hide a line, and a line break could forge one. So
every hidden character is written as a visible escape, and nothing is read as markup.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from typing import Any, NoReturn

from sightline.storage.text.hidden_characters import escape_hidden

#: Updates a progress bar: description, done, total if known, and a rate.
UpdateBar = Callable[[str, int, int | None, str], None]


def write_lines(*lines: str, error: bool = False) -> None:
    """Write each text as one line to stdout, or with ``error`` to stderr."""
    _write("".join(f"{escape_hidden(line)}\n" for line in lines), error=error)


def write_json(value: object) -> None:
    """Write a value as JSON to stdout; a program reads exactly the same value."""
    _write(visible_json(value, indent=2) + "\n", error=False)


def visible_json(value: object, indent: int | None = None) -> str:
    """Return a value as JSON in which every hidden character is escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    # JSON escapes only ASCII control characters. Line breaks in the text are those of the format.
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout.isatty()


def write_table(
    columns: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    whole: Sequence[str] = (),
    links: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Write rows below their column names, wrapped to the width of the terminal.

    The columns in ``whole``, such as names to copy, are not wrapped. ``links`` are addresses in
    ASCII for the cells of a column, empty for none; a terminal makes the text a link (OSC 8).
    """
    from rich.console import Console
    from rich.style import Style
    from rich.table import Column, Table
    from rich.text import Text

    # A long path is wrapped, too: its end tells more than its beginning.
    kept = (Column(each, overflow="fold", no_wrap=each in whole) for each in columns)
    table = Table(*kept, box=None, pad_edge=False)
    for number, row in enumerate(rows):
        cells = []
        for column, cell in zip(columns, row, strict=True):
            addresses = (links or {}).get(column)
            address = addresses[number] if addresses else ""
            # Not markup, because captions can contain "[red]".
            text = _encodable(escape_hidden(cell), sys.stdout.encoding)
            cells.append(Text(text, Style(link=address) if address else ""))
        table.add_row(*cells)
    Console(markup=False, emoji=False, highlight=False).print(table)


def write_traceback(error: BaseException) -> None:
    """Write an unexpected error to stderr, as Python does."""
    write_lines(*"".join(traceback.format_exception(error)).split("\n")[:-1], error=True)


@contextmanager
def progress_bar(*, shown: bool) -> Iterator[UpdateBar]:
    """Show a progress bar for each description on stderr; yield what updates it."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), disable=not shown) as bars:
        tasks = {"": bars.add_task("opening", total=None, rate="")}

        def update(description: str, done: int, total: int | None, rate: str) -> None:
            if description not in tasks:
                is_first = "" in tasks
                tasks[description] = tasks.pop("") if is_first else bars.add_task("", rate="")
            bars.update(
                tasks[description],
                description=escape_hidden(description),
                completed=done,
                total=total,
                rate=escape_hidden(rate),
            )

        yield update


@contextmanager
def lines_on_stderr() -> Iterator[None]:
    """Write the lines of the block to stderr, because stdout is for JSON."""
    with redirect_stdout(sys.stderr):
        yield


def close_stderr() -> None:
    """Hide the error of Python's last flush; the reader of stdout has gone."""
    sys.stderr.close()


class _LineFormatter(argparse.HelpFormatter):
    """Wraps each line of a description or epilog on its own."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        lines = (
            # An example is copied, so it stays on one line.
            f"{indent}{line}" if line.startswith(" ") else fill(line, width, indent)
            for line in text.splitlines()
        )
        return "\n".join(lines)


class Parser(argparse.ArgumentParser):
    """A parser whose errors may quote any argument, such as a file name of a pattern."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": _LineFormatter} | options)

    def error(self, message: str) -> NoReturn:
        super().error(escape_hidden(message))


def _write(text: str, *, error: bool) -> None:
    stream = sys.stderr if error else sys.stdout
    stream.write(_encodable(text, stream.encoding))
    stream.flush()


def _encodable(text: str, encoding: str | None) -> str:
    """Escape the characters that the terminal's encoding does not have."""
    return text.encode(encoding or "utf-8", "backslashreplace").decode(encoding or "utf-8")
