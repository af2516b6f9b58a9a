"""Runs ``sightline`` on a pseudo-terminal, as a person would, in a process of its own."""

from __future__ import annotations

import errno
import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from types import TracebackType
from typing import Self

#: Makes the pseudo-terminal that of the process, so that Ctrl-C reaches it.
_PROGRAM = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
from sightline.server.cli import main
sys.exit(main())
"""
_TIMEOUT_SECONDS = 240.0
_REACTION_SECONDS = 5.0
_CTRL_C = "\x03"
_COLUMNS = "200"


class PseudoTerminal:
    """A command with a terminal at both ends; ``text`` is everything that it wrote."""

    def __init__(self, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self.text = ""
        self._read_to = 0
        self._master, slave = pty.openpty()
        self._process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, *arguments],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            env={
                **os.environ,
                "TERM": "xterm-256color",
                "COLUMNS": _COLUMNS,
                **(environment or {}),
            },
        )
        os.close(slave)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        os.close(self._master)

    def wait_for(self, words: str) -> None:
        """Read until these words appear after the last ones."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while (found := self.text.find(words, self._read_to)) < 0:
            if not self._read(deadline):
                raise AssertionError(f"{words!r} did not appear in: {self.text[self._read_to :]}")
        self._read_to = found + len(words)

    def answer(self, words: str, answer: str) -> None:
        """Type an answer, with the enter key, to the question with these words."""
        self.wait_for(words)
        self.type(answer + "\n")

    def type(self, keys: str) -> None:
        os.write(self._master, keys.encode())

    def interrupt(self) -> None:
        """Type Ctrl-C, again every few seconds, until the command ends.

        The readline of Python ignores one that arrives between the prompt and its wait for a key.
        """
        for _ in range(10):
            self.type(_CTRL_C)
            with suppress(AssertionError):
                while self._read(time.monotonic() + _REACTION_SECONDS):
                    pass
                return

    def end(self) -> int:
        """Read until the command ends; return its exit code."""
        deadline = time.monotonic() + _TIMEOUT_SECONDS
        while self._read(deadline):
            pass
        return self._process.wait(_TIMEOUT_SECONDS)

    def _read(self, deadline: float) -> bool:
        """Read what comes next; return whether there was anything before the end."""
        ready, _, _ = select.select([self._master], [], [], max(0, deadline - time.monotonic()))
        if not ready:
            raise AssertionError(f"nothing more came after: {self.text[self._read_to :]}")
        try:
            data = os.read(self._master, 1 << 16)
        except OSError as error:
            if error.errno != errno.EIO:  # Linux: the other end was closed
                raise
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)
