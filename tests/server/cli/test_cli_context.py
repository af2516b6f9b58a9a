"""Commands that delete ask on the terminal."""

from __future__ import annotations

import io
import os
import pty

import pytest

from sightline.server.cli.cli_context import DeclinedError, confirm
from sightline.storage.errors import ConfigurationError


@pytest.mark.parametrize(
    ("answer", "agrees"), [("y", True), ("YES", True), ("n", False), ("", False)]
)
def test_only_yes_agrees(
    answer: str,
    agrees: bool,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    terminal, device = pty.openpty()
    try:
        os.write(terminal, f"{answer}\n".encode())
        with os.fdopen(device) as stdin:
            monkeypatch.setattr("sys.stdin", stdin)
            if agrees:
                confirm("Delete \x1b[2Jit?", yes=False)
            else:
                with pytest.raises(DeclinedError, match="Nothing was changed"):
                    confirm("Delete \x1b[2Jit?", yes=False)
    finally:
        os.close(terminal)
    assert capsys.readouterr().err == "Delete \\x1b[2Jit? [y/N]\n"


def test_without_a_terminal_an_option_agrees(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    confirm("Delete it?", yes=True)
    with pytest.raises(ConfigurationError, match="add --yes"):
        confirm("Delete it?", yes=False)
