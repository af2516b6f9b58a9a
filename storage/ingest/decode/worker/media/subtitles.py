"""Parse SubRip and WebVTT subtitles, in parent and worker."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

_TIME = r"(?:(\d{1,3}):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_CUE = re.compile(rf"^[ \t]*{_TIME}[ \t]*-->[ \t]*{_TIME}[^\n]*$", re.MULTILINE)
_TAG = re.compile(r"<[^>\n]{0,200}>|\{\\[^}\n]{0,200}\}")
_NUMBER = re.compile(r"\n[^\S\n]*\d+\Z")
_NOTE = re.compile(r"\n\s*\n.*", re.DOTALL)
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’）)]*$")
_MAX_CHARS = 200
_MAX_CUE_CHARS = 2_000  # a longer one is cut into several of the same time
_MAX_PAUSE_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class SubtitleCue:
    """One line of speech. Times are in seconds from the start of the video."""

    start: float
    end: float
    text: str


def parse_subtitles(text: str) -> list[SubtitleCue]:
    """Return the cues of an SRT or VTT file by start time; empty if there are none."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    marks = list(_CUE.finditer(text))
    cues: list[SubtitleCue] = []
    for index, mark in enumerate(marks):
        if index + 1 < len(marks):  # the line before the next cue is its number
            body = _NUMBER.sub("", text[mark.end() : marks[index + 1].start()].rstrip())
        else:
            body = text[mark.end() :]
        body = strip_markup(_NOTE.sub("", body.lstrip("\n")))
        start, end = _seconds(mark.groups()[:4]), _seconds(mark.groups()[4:])
        if body and end >= start:
            cues.append(SubtitleCue(start, end, body))
    return sorted(cues, key=lambda cue: cue.start)


def strip_markup(text: str) -> str:
    """Return the text on one line, without style tags."""
    one_line = _TAG.sub("", text).replace("\\N", " ").replace("\\n", " ")
    return " ".join(html.unescape(one_line).split())


def join_sentences(cues: Iterable[SubtitleCue]) -> Iterator[SubtitleCue]:
    """Join cues that share one sentence: half a sentence is hard to find."""
    current: SubtitleCue | None = None
    for cue in (piece for each in cues for piece in _pieces(each)):
        if current is not None and (
            _SENTENCE_END.search(current.text)
            or cue.start - current.end > _MAX_PAUSE_SECONDS
            or len(current.text) + len(cue.text) > _MAX_CHARS
        ):
            yield current
            current = None
        if current is None:
            current = cue
        else:
            end = max(current.end, cue.end)
            current = SubtitleCue(current.start, end, f"{current.text} {cue.text}")
    if current is not None:
        yield current


def _pieces(cue: SubtitleCue) -> Iterator[SubtitleCue]:
    for at in range(0, len(cue.text), _MAX_CUE_CHARS):
        yield replace(cue, text=cue.text[at : at + _MAX_CUE_CHARS])


def _seconds(groups: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = groups
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return whole + int((fraction or "0").ljust(3, "0")) / 1000
