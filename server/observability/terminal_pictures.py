"""Show a picture in terminals that can: the protocols of kitty and of iTerm2.

Both are one escape sequence with the file in base64. Sixel would need an encoder with a palette,
for which no maintained library is a dependency, so terminals with only sixel get no pictures.
kitty: https://sw.kovidgoyal.net/kitty/graphics-protocol/
iTerm2: https://iterm2.com/documentation-images.html
"""

from __future__ import annotations

import base64
import io
import shutil
import sys
from collections.abc import Iterator, Mapping
from typing import Final, Literal

Protocol = Literal["kitty", "iterm2"]

_CHUNK: Final = 4096
_MAX_COLUMNS: Final = 100
_KITTY_PROGRAMS: Final = ("ghostty", "kitty")
_ITERM2_PROGRAMS: Final = ("iTerm.app", "WezTerm", "mintty")


def picture_protocol(environment: Mapping[str, str]) -> Protocol | None:
    """Return the protocol of the terminal on stdout; None if it shows no pictures."""
    if not sys.stdout.isatty():
        return None
    return protocol_of(environment)


def protocol_of(environment: Mapping[str, str]) -> Protocol | None:
    """Return the protocol that the variables of a terminal stand for.

    A multiplexer would show the bytes as text, so there is none inside of it.
    """
    if environment.get("TMUX") or environment.get("STY"):
        return None
    term, program = environment.get("TERM", ""), environment.get("TERM_PROGRAM", "")
    if environment.get("KITTY_WINDOW_ID") or term in ("xterm-kitty", "xterm-ghostty"):
        return "kitty"
    if program in _KITTY_PROGRAMS:
        return "kitty"
    if program in _ITERM2_PROGRAMS or environment.get("LC_TERMINAL") == "iTerm2":
        return "iterm2"
    return None


def write_picture(jpeg: bytes, protocol: Protocol) -> None:
    """Show a JPEG that Sightline has made, as wide as the terminal."""
    columns = min(shutil.get_terminal_size().columns, _MAX_COLUMNS)
    sequence = _kitty(_png(jpeg), columns) if protocol == "kitty" else _iterm2(jpeg, columns)
    sys.stdout.write("".join(sequence) + "\n")
    sys.stdout.flush()


def _kitty(png: bytes, columns: int) -> Iterator[str]:
    text = base64.b64encode(png).decode("ascii")
    chunks = [text[start : start + _CHUNK] for start in range(0, len(text), _CHUNK)]
    for number, chunk in enumerate(chunks):
        first = f"a=T,f=100,c={columns}," if number == 0 else ""
        yield f"\x1b_G{first}m={int(number < len(chunks) - 1)};{chunk}\x1b\\"


def _iterm2(jpeg: bytes, columns: int) -> Iterator[str]:
    yield (
        f"\x1b]1337;File=inline=1;size={len(jpeg)};width={columns};preserveAspectRatio=1:"
        f"{base64.b64encode(jpeg).decode('ascii')}\x07"
    )


def _png(jpeg: bytes) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    with Image.open(io.BytesIO(jpeg)) as image:
        image.save(buffer, "PNG")
    return buffer.getvalue()
