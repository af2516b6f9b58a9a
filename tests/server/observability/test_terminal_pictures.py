"""Pictures in the terminal: which terminals show them, and what is written."""

from __future__ import annotations

import base64
import io
import re

import pytest
from PIL import Image

from sightline.server.observability import terminal_pictures


def jpeg() -> bytes:
    buffer = io.BytesIO()
    pixels = Image.effect_noise((90, 60), 80).convert("RGB")
    pixels.save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("environment", "protocol"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"LC_TERMINAL": "iTerm2", "TERM": "xterm-256color"}, "iterm2"),
        ({"TERM": "xterm-256color"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, None),
        ({"TERM": "screen", "STY": "1.tty", "TERM_PROGRAM": "iTerm.app"}, None),
        ({}, None),
    ],
)
def test_the_variables_of_a_terminal_say_what_it_shows(
    environment: dict[str, str], protocol: str | None
) -> None:
    assert terminal_pictures.protocol_of(environment) == protocol


def test_a_stream_that_is_no_terminal_gets_no_picture() -> None:
    assert terminal_pictures.picture_protocol({"TERM": "xterm-kitty"}) is None


def test_kitty_gets_a_png_in_chunks(capsys: pytest.CaptureFixture[str]) -> None:
    picture = jpeg()
    terminal_pictures.write_picture(picture, "kitty")
    chunks = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", capsys.readouterr().out)
    assert len(chunks) > 1
    assert chunks[0][0] == "a=T,f=100,c=80,m=1"
    assert [options for options, _ in chunks[1:]] == ["m=1"] * (len(chunks) - 2) + ["m=0"]
    assert max(len(text) for _, text in chunks) <= 4096
    with Image.open(io.BytesIO(base64.b64decode("".join(text for _, text in chunks)))) as shown:
        assert (shown.format, shown.size) == ("PNG", (90, 60))


def test_iterm2_gets_the_file_itself(capsys: pytest.CaptureFixture[str]) -> None:
    picture = jpeg()
    terminal_pictures.write_picture(picture, "iterm2")
    found = re.fullmatch(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07\n", capsys.readouterr().out)
    assert found is not None
    assert f"inline=1;size={len(picture)};width=80" in found[1]
    assert base64.b64decode(found[2]) == picture
