"""Parse SubRip, WebVTT and SubStation Alpha subtitles, in parent and worker."""

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
_ASS_EVENTS = re.compile(r"^\[events\][^\n]*$", re.MULTILINE | re.IGNORECASE)
_ASS_TIME = re.compile(rf"\s*{_TIME}\s*")
_ASS_FORMAT = "layer, start, end, style, name, marginl, marginr, marginv, effect, text"
_ASS_DRAWING = re.compile(r"\{[^}\n]{0,200}\\p[1-9]")
_ASS_OVERRIDE = re.compile(r"\{[^}\n]{0,500}\}")
# For people who do not hear: sounds and moods in brackets, signs of music and of a new speaker.
_SOUND = re.compile(
    r"\[[^\]\n]{0,100}\]|［[^］\n]{0,100}］|【[^】\n]{0,100}】|[♪♫♬]+|(?:^|(?<=\s))>{2,3}(?=\s|$)"
    r"|\([A-Z][^a-z()\n]{1,60}\)|^\s*[(（][^()（）\n]{1,60}[)）]\s*$"
)
_SENTENCE_END = re.compile(r"[.!?。！？…][\"'”’）)]*$")
_MAX_CHARS = 200
_MAX_CUE_CHARS = 2_000  # a longer one is cut into several of the same time
_MAX_PAUSE_SECONDS = 2.0
_MAX_ROLL_PAUSE_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class SubtitleCue:
    """One line of speech. Times are in seconds from the start of the video."""

    start: float
    end: float
    text: str


def parse_subtitles(text: str) -> list[SubtitleCue]:
    """Return the cues of an SRT, VTT or ASS file by start time.

    Empty if there are none. Lines that several cues repeat are there once.
    """
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if events := _ASS_EVENTS.search(text):
        return unrolled(_ass_cues(text[events.end() :]))
    marks = list(_CUE.finditer(text))
    cues: list[SubtitleCue] = []
    for index, mark in enumerate(marks):
        if index + 1 < len(marks):  # the line before the next cue is its number
            body = _NUMBER.sub("", text[mark.end() : marks[index + 1].start()].rstrip())
        else:
            body = text[mark.end() :]
        body = _NOTE.sub("", _TAG.sub("", body).lstrip())
        start, end = _seconds(mark.groups()[:4]), _seconds(mark.groups()[4:])
        if end >= start:
            cues.append(SubtitleCue(start, end, body))
    return unrolled(cues)


def unrolled(cues: Iterable[SubtitleCue]) -> list[SubtitleCue]:
    """Return cues by start time, each line once, without markup.

    Rolling captions show a line again while the next ones appear, or grow word by word.
    """
    result: list[SubtitleCue] = []
    shown: list[str] = []
    until = 0.0
    for cue in sorted(cues, key=lambda each: each.start):
        lines = _plain_lines(cue.text)
        if not lines:
            continue
        follows = cue.start <= until + _MAX_ROLL_PAUSE_SECONDS
        repeated = _repeated_count(shown, lines) if follows else 0
        new, shown = lines[repeated:], lines
        until = max(until, cue.end) if follows else cue.end
        text = " ".join(new)
        if not follows or not result:
            result.append(SubtitleCue(cue.start, cue.end, text))
        elif not new or text.startswith(result[-1].text + " "):  # still there, or grown
            last = result[-1]
            result[-1] = SubtitleCue(last.start, max(last.end, cue.end), text or last.text)
        else:
            result.append(SubtitleCue(cue.start, cue.end, text))
    return result


def _repeated_count(shown: list[str], lines: list[str]) -> int:
    """Return how many first lines are the last ones that were shown before."""
    for count in range(min(len(shown), len(lines), 8), 0, -1):
        if shown[-count:] == lines[:count]:
            return count
    return 0


def _plain_lines(text: str) -> list[str]:
    """Return the lines without style tags and descriptions of sounds."""
    text = html.unescape(_TAG.sub("", text)).replace("\\N", "\n").replace("\\n", "\n")
    lines = (_SOUND.sub(" ", line.replace("\\h", " ")) for line in text.split("\n"))
    return [line for each in lines if (line := " ".join(each.split())) and line != "-"]


def _ass_cues(text: str) -> Iterator[SubtitleCue]:
    """Yield the dialogue lines of the section of events."""
    columns = [each.strip() for each in _ASS_FORMAT.split(",")]
    seen: set[tuple[float, str]] = set()  # layers of one line: outline, shadow, karaoke
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        kind = name.strip().lower()
        if line.startswith("["):
            return
        if kind == "format":
            columns = [each.strip().lower() for each in value.split(",")[:32]]
        if kind != "dialogue" or not {"start", "end", "text"} <= set(columns):
            continue
        fields = dict(zip(columns, value.split(",", len(columns) - 1), strict=False))
        start, end = (_ASS_TIME.fullmatch(fields.get(each, "")) for each in ("start", "end"))
        body = fields.get("text", "")
        if start is None or end is None or _ASS_DRAWING.search(body):
            continue
        body = _ASS_OVERRIDE.sub("", body)
        at, until = _seconds(start.groups()), _seconds(end.groups())
        if until >= at and (at, body) not in seen:
            seen.add((at, body))
            yield SubtitleCue(at, until, body)


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
