"""SubRip and WebVTT: who says what when. Without dependencies, for both sides use it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_CUE = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}[^\n]*$", re.MULTILINE)
_TAG = re.compile(r"<[^>\n]{0,200}>|\{\\[^}\n]{0,200}\}")
_NUMBER = re.compile(r"\n[^\S\n]*\d+\Z")
_NOTE = re.compile(r"\n\s*\n.*", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’）)]*$")
_LONGEST_CHARS = 200
_LONGEST_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Cue:
    """A line of speech; times are in seconds from the start of the film."""

    start: float
    end: float
    text: str


def parse_subtitles(text: str) -> list[Cue]:
    """The cues of an SRT or VTT file in the order of their times; empty where there is none."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    marks = list(_CUE.finditer(text))
    cues: list[Cue] = []
    for number, mark in enumerate(marks):
        if number + 1 < len(marks):  # what stands before the next one is its number
            said = _NUMBER.sub("", text[mark.end() : marks[number + 1].start()].rstrip())
        else:
            said = text[mark.end() :]
        said = _NOTE.sub("", said.lstrip("\n"))
        said = plain(said)
        start, end = _seconds(mark.groups()[:4]), _seconds(mark.groups()[4:])
        if said and end >= start:
            cues.append(Cue(start, end, said))
    return sorted(cues, key=lambda cue: cue.start)


def plain(said: str) -> str:
    """On one line, without the marks of style that players act on."""
    unbroken = _TAG.sub("", said).replace("\\N", " ").replace("\\n", " ")
    return " ".join(html.unescape(unbroken).split())


def gathered(cues: Iterable[Cue]) -> Iterator[Cue]:
    """Sentences that go over several cues as one: half a sentence is hard to find."""
    open_: Cue | None = None
    for cue in cues:
        if open_ is not None and (
            _SENTENCE_END.search(open_.text)
            or cue.start - open_.end > _LONGEST_PAUSE_SECONDS
            or len(open_.text) + len(cue.text) > _LONGEST_CHARS
        ):
            yield open_
            open_ = None
        if open_ is None:
            open_ = cue
        else:
            open_ = Cue(open_.start, max(open_.end, cue.end), f"{open_.text} {cue.text}")
    if open_ is not None:
        yield open_


def _seconds(fields: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = fields
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + int((fraction or "0").ljust(3, "0")) / 1000
