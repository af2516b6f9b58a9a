"""How the built-in LLaVA is asked, and what its answers look like. The one place that knows.

Two forms, both plain OpenAI chat messages (``grounded_messages`` and ``plain_messages`` build
them). The chat template puts a line break behind every picture, so text parts bring none for it.

Grounded, for evidence that is numbered 1, 2, 3 ... in any mixture of pictures and passages::

    system     Answer from the evidence.
    user       Picture 1: <picture>
               Passage 2: HEAT SINK HS-40 [0.10,0.05,0.52,0.11] | 32 mm [0.31,0.80,0.44,0.86]
               Question: What is the hole spacing?
    assistant  32 mm [2]

    answer := TEXT SOURCES? BOX? | "not shown" | "图中没有"
    SOURCES := " [n]" for every piece of evidence that shows it
    BOX     := " [x0,y0,x1,y1]" with two decimals, shares of the padded square (see ``frame``),
               in the first picture that is cited

    white [1] [0.12,0.30,0.55,0.80]     what was asked, where it can be seen
    the white van [2] [0.12,0.30,0.55,0.80]   for "Where is the white van?"
    yes [1] · no [1] [2] · 3 [1]         what no single box shows; "no" cites all it looked at
    not shown                           the evidence does not say; never with sources

Plain, for one picture and a short answer: ``<picture>`` and the question, no system line. The
answer is the bare text; for "Where is ...?" the box alone. ``existence_question`` is the yes/no
question by which a crop or a whole picture is checked; it is asked in the plain form.

Questions are in English or Chinese and answered in the same language. Text that stands in a
passage is copied; passages hold the lines of one picture or page, joined by " | ". Lines that were
read on a picture that is shown bear their boxes, in that picture's square.
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
#: Between the lines of one passage.
LINE_BREAK: Final = " | "
PASSAGE_CHARS: Final = 200
#: So many lines of a passage bear their boxes; each takes five tokens.
PLACED_LINES: Final = 12
YES_OR_NO: Final = "Answer yes or no."

Part = dict[str, object]
Message = dict[str, object]
Status = Literal["answered", "not shown", "empty"]

_BOX: Final = re.compile(r"\[\s*(\d?\.?\d+(?:\s*,\s*\d?\.?\d+){3})\s*\]")
_SOURCE: Final = re.compile(r"\[(\d{1,3})\]")


@dataclass(frozen=True, slots=True)
class Shown:
    """A picture among the evidence: the data URL of its square (see ``frame.as_square``)."""

    url: str


@dataclass(frozen=True, slots=True)
class Passage:
    """A text among the evidence."""

    text: str


Evidence = Shown | Passage


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed answer. ``box`` is in shares of the padded square, corners in order, clipped."""

    status: Status
    text: str
    sources: tuple[int, ...] = ()
    box: Box | None = None


def existence_question(phrase: str) -> str:
    """The yes/no question by which a claim about a picture or crop is checked."""
    return f"Is there {_with_article(phrase)}? {YES_OR_NO}"


def _with_article(phrase: str) -> str:
    """``white van`` as "a white van"; a phrase that has an article keeps it."""
    phrase = " ".join(escape_special_tokens(phrase).split())
    if phrase.lower().startswith(("a ", "an ", "the ", "some ")):
        return phrase
    return f"{'an' if phrase[:1].lower() in set('aeiou') else 'a'} {phrase}"


def passage_text(lines: Sequence[tuple[str, Box | None]]) -> str:
    """The lines of one picture or page as one passage, cut to what the model was trained on.

    A line's box is in shares of the padded square of the picture that it was read on.
    """
    flat = [(words, box) for line, box in lines if (words := " ".join(line.split()))]
    said: list[str] = []
    left = PASSAGE_CHARS
    for place, (words, box) in enumerate(flat):
        if left <= 0:
            break
        whole = len(words) <= left and place < PLACED_LINES
        said.append(f"{words[:left]} {box_text(box)}" if box and whole else words[:left])
        left -= len(words) + len(LINE_BREAK)
    return LINE_BREAK.join(said)


def passage_line(number: int, text: str) -> str:
    """One passage as it stands in the prompt, with its line break."""
    return f"Passage {number}: {escape_special_tokens(' '.join(text.split()))}\n"


def picture_head(number: int) -> str:
    """What stands before a numbered picture."""
    return f"Picture {number}: "


def question_line(question: str) -> str:
    """The question of the grounded form."""
    return f"Question: {escape_special_tokens(' '.join(question.split()))}"


def grounded_messages(question: str, evidence: Sequence[Evidence]) -> list[Message]:
    """The chat messages of the grounded form; evidence is numbered from 1 in the order given."""
    parts: list[Part] = []
    for number, item in enumerate(evidence, 1):
        if isinstance(item, Shown):
            parts.append({"type": "text", "text": picture_head(number)})
            parts.append({"type": "image_url", "image_url": {"url": item.url}})
        else:
            parts.append({"type": "text", "text": passage_line(number, item.text)})
    parts.append({"type": "text", "text": question_line(question)})
    return [{"role": "system", "content": SYSTEM}, {"role": "user", "content": parts}]


def plain_messages(question: str, picture: Shown) -> list[Message]:
    """The chat messages of the plain form."""
    parts: list[Part] = [
        {"type": "image_url", "image_url": {"url": picture.url}},
        {"type": "text", "text": escape_special_tokens(" ".join(question.split()))},
    ]
    return [{"role": "user", "content": parts}]


def box_text(box: Box) -> str:
    """``[0.12,0.30,0.55,0.80]``: a box in shares of the square, clipped to it."""
    return "[" + ",".join(f"{min(max(value, 0.0), 1.0):.2f}" for value in box) + "]"


def answer_line(text: str, sources: Sequence[int] = (), box: Box | None = None) -> str:
    """An answer of the grounded form."""
    cited = "".join(f" [{number}]" for number in sources)
    return f"{text}{cited}{' ' + box_text(box) if box is not None else ''}"


def parse_answer(text: str) -> Answer:
    """Read an answer of either form; never fails, whatever a model wrote.

    Corners that are swapped are put in order and values are clipped to the square.
    """
    box: Box | None = None
    found = _BOX.search(text)
    if found:
        x0, y0, x1, y1 = (min(max(float(v), 0.0), 1.0) for v in found.group(1).split(","))
        box = (min(x0, x1), min(y0, y1), max(x0, x1), max(y0, y1))
    words = _BOX.sub(" ", text)
    sources = tuple(dict.fromkeys(int(number) for number in _SOURCE.findall(words)))
    words = " ".join(_SOURCE.sub(" ", words).split())
    if words.rstrip(".。").lower() in NOT_SHOWN:
        return Answer("not shown", words)
    if not words and box is None:
        return Answer("empty", "")
    return Answer("answered", words, sources, box)
