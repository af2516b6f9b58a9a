"""Prompt and answer format of the built-in LLaVA.

There are two forms, both OpenAI chat messages: ``grounded_messages`` and ``plain_messages``. The
chat template adds a line break after each image, so text parts do not.

The grounded form numbers the evidence (images and passages in any order)::

    system     Answer from the evidence.
    user       Picture 1: <image>
               Passage 2: HEAT SINK HS-40 [0.10,0.05,0.52,0.11] | 32 mm [0.31,0.80,0.44,0.86]
               Question: What is the hole spacing?
    assistant  32 mm [2]

    answer := TEXT SOURCES? BOX? | "not shown" | "图中没有"
    SOURCES := " [n]" for each piece of evidence that shows the answer
    BOX     := " [x0,y0,x1,y1]" with two decimals, relative to the letterbox square of the first
               cited image

    white [1] [0.12,0.30,0.55,0.80]     an answer with its visible box
    the white van [2] [0.12,0.30,0.55,0.80]   for "Where is the white van?"
    yes [1] · no [1] [2] · 3 [1]         answers without one box; "no" cites all images
    not shown                           the evidence has no answer; never with sources

The plain form is for one image and a short answer: the image and the question, without a system
line. The answer is text only, or a box only for "Where is ...?". ``existence_question`` is the
yes/no question that checks a crop or an image; it uses the plain form.

The answer has the language of the question (English or Chinese). Text from a passage is copied. A
passage contains the lines of one image or page, joined by " | ". Lines of a shown image have boxes
in the square of that image.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sightline.storage.text.special_tokens import escape_special_tokens
from sightline.training.vlm.data.letterbox import Box

SYSTEM: Final = "Answer from the evidence."
IMAGE: Final = "<image>"
NOT_SHOWN: Final = ("not shown", "图中没有")
YES: Final = frozenset({"yes", "是"})
NO: Final = frozenset({"no", "否"})
#: Separator between the lines of a passage.
LINE_SEPARATOR: Final = " | "
MAX_PASSAGE_CHARS: Final = 200
#: Maximum number of lines with boxes per passage; a box costs five tokens.
MAX_LINES_WITH_BOXES: Final = 12
YES_OR_NO: Final = "Answer yes or no."

Part = dict[str, object]
Message = dict[str, object]
Status = Literal["answered", "not shown", "empty"]

_BOX: Final = re.compile(r"\[\s*(\d?\.?\d+(?:\s*,\s*\d?\.?\d+){3})\s*\]")
_SOURCE: Final = re.compile(r"\[(\d{1,3})\]")


@dataclass(frozen=True, slots=True)
class ImageEvidence:
    """An image as evidence: data URL of its letterboxed square."""

    url: str


@dataclass(frozen=True, slots=True)
class TextEvidence:
    """A text as evidence."""

    text: str


Evidence = ImageEvidence | TextEvidence


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer; ``box`` is relative to the letterbox square."""

    status: Status
    text: str
    sources: tuple[int, ...] = ()
    box: Box | None = None


def existence_question(phrase: str) -> str:
    """Return the yes/no question that checks a claim about an image."""
    return f"Is there {_with_article(phrase)}? {YES_OR_NO}"


def _with_article(phrase: str) -> str:
    """Add "a" or "an" unless the phrase already has an article."""
    phrase = " ".join(escape_special_tokens(phrase).split())
    if phrase.lower().startswith(("a ", "an ", "the ", "some ")):
        return phrase
    return f"{'an' if phrase[:1].lower() in set('aeiou') else 'a'} {phrase}"


def join_passage_lines(lines: Sequence[tuple[str, Box | None]]) -> str:
    """Join the lines of an image or page, cut to the trained length.

    Boxes are relative to the letterbox square of the image.
    """
    flat = [(words, box) for line, box in lines if (words := " ".join(line.split()))]
    parts: list[str] = []
    left = MAX_PASSAGE_CHARS
    for place, (words, box) in enumerate(flat):
        if left <= 0:
            break
        complete = len(words) <= left and place < MAX_LINES_WITH_BOXES
        parts.append(f"{words[:left]} {format_box(box)}" if box and complete else words[:left])
        left -= len(words) + len(LINE_SEPARATOR)
    return LINE_SEPARATOR.join(parts)


def format_passage(number: int, text: str) -> str:
    """Format a passage of the prompt, with line break."""
    return f"Passage {number}: {escape_special_tokens(' '.join(text.split()))}\n"


def image_header(number: int) -> str:
    """Format the text before an image of the prompt."""
    return f"Picture {number}: "


def format_question(question: str) -> str:
    """Format the question of the grounded form."""
    return f"Question: {escape_special_tokens(' '.join(question.split()))}"


def grounded_messages(question: str, evidence: Sequence[Evidence]) -> list[Message]:
    """Build chat messages of the grounded form; evidence numbers start at 1."""
    parts: list[Part] = []
    for number, item in enumerate(evidence, 1):
        if isinstance(item, ImageEvidence):
            parts.append({"type": "text", "text": image_header(number)})
            parts.append({"type": "image_url", "image_url": {"url": item.url}})
        else:
            parts.append({"type": "text", "text": format_passage(number, item.text)})
    parts.append({"type": "text", "text": format_question(question)})
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": parts}]


def plain_messages(question: str, image: ImageEvidence) -> list[Message]:
    """Build chat messages of the plain form."""
    parts: list[Part] = [
        {"type": "image_url", "image_url": {"url": image.url}},
        {"type": "text", "text": escape_special_tokens(" ".join(question.split()))},
    ]
    return [{"role": "user", "content": parts}]


def format_box(box: Box) -> str:
    """Format a box in square coordinates, clipped: ``[0.12,0.30,0.55,0.80]``."""
    return "[" + ",".join(f"{min(max(value, 0.0), 1.0):.2f}" for value in box) + "]"


def format_answer(text: str, sources: Sequence[int] = (), box: Box | None = None) -> str:
    """Format an answer of the grounded form."""
    cited = "".join(f" [{number}]" for number in sources)
    return f"{text}{cited}{' ' + format_box(box) if box is not None else ''}"


def parse_answer(text: str) -> Answer:
    """Parse an answer of either form; never raises.

    Swapped corners are reordered and values are clipped to the square.
    """
    box: Box | None = None
    match = _BOX.search(text)
    if match:
        x0, y0, x1, y1 = (min(max(float(v), 0.0), 1.0) for v in match.group(1).split(","))
        box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    words = _BOX.sub(" ", text)
    sources = tuple(dict.fromkeys(int(number) for number in _SOURCE.findall(words)))
    words = " ".join(_SOURCE.sub(" ", words).split())
    if words.rstrip(".。").lower() in NOT_SHOWN:
        return Answer("not shown", words)
    if not words and box is None:
        return Answer("empty", "")
    return Answer("answered", words, sources, box)
