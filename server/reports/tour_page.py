"""The tour as one self-contained HTML page: what was asked, what came back, and the pictures."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
h1 { margin-bottom: 0; }
section { border-top: 1px solid #8884; padding: 1rem 0; }
h2 { font-size: 1.1rem; margin: 0 0 .25rem; }
code { background: #8882; border-radius: .25rem; padding: .1rem .3rem; overflow-wrap: anywhere; }
ul { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr));
     list-style: none; margin: .75rem 0 0; padding: 0; }
li img { background: #8882; border-radius: .4rem; display: block; height: 11rem;
         object-fit: contain; width: 100%; }
li p { font-size: .85rem; margin: .3rem 0 0; overflow-wrap: anywhere; }
.score { opacity: .7; }
"""


@dataclass(frozen=True, slots=True)
class Shown:
    """One picture of a step: JPEG bytes, or none, and lines about it."""

    lines: Sequence[str]
    jpeg: bytes | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One call of the tour."""

    title: str
    tool: str
    asked: str
    said: str
    pictures: Sequence[Shown] = field(default=())


def write(path: Path, steps: Sequence[Step]) -> None:
    """Write the page; everything that came from files or models is escaped."""
    sections = "\n".join(_section(step) for step in steps)
    path.write_text(
        "<!doctype html>\n<html lang=en><meta charset=utf-8>"
        '<meta name=viewport content="width=device-width, initial-scale=1">'
        "<meta http-equiv=Content-Security-Policy "
        "content=\"default-src 'none'; img-src data:; style-src 'unsafe-inline'\">"
        f"<title>Sightline: the tour</title><style>{_STYLE}</style>\n"
        "<h1>Sightline</h1><p>What a real MCP client asked the server, and what came back.</p>\n"
        f"{sections}\n</html>\n",
        encoding="utf-8",
    )


def _section(step: Step) -> str:
    items = "".join(_item(shown) for shown in step.pictures)
    pictures = f"<ul>{items}</ul>" if items else ""
    return (
        f"<section><h2>{html.escape(step.title)}</h2>"
        f"<div><code>{html.escape(step.tool)}</code> <code>{html.escape(step.asked)}</code></div>"
        f"<p>{html.escape(step.said)}</p>{pictures}</section>"
    )


def _item(shown: Shown) -> str:
    image = ""
    if shown.jpeg is not None:
        data = base64.b64encode(shown.jpeg).decode("ascii")
        image = f'<img alt="{html.escape(shown.lines[0])}" src="data:image/jpeg;base64,{data}">'
    lines = "".join(f"<p>{html.escape(line)}</p>" for line in shown.lines)
    return f"<li>{image}{lines}</li>"
