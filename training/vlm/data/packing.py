"""Lessons for the language model: evidence once, then several questions about it, packed.

A pack is a prefix (system line, pictures, passages) and segments (a question and its answer). Each
segment sees the prefix and itself alone and counts its positions from the prefix on, so that a
packed question reads exactly as if it had been asked by itself.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeVar

from transformers import PreTrainedTokenizerFast

from sightline.training.vlm.data import prompt
from sightline.training.vlm.data.album import Ask, Record
from sightline.training.vlm.data.letterbox import Box
from sightline.training.vlm.data.tokenizer import (
    ASSISTANT,
    BOS,
    EOS,
    IMAGE,
    STEPS,
    SYSTEM,
    USER,
    coordinate_ids,
)

T = TypeVar("T")
Form = Literal["plain", "picture", "picture and passage", "several", "passages"]
#: How often each form is taught.
FORMS: Final[dict[Form, float]] = {
    "plain": 0.14,
    "picture": 0.2,
    "picture and passage": 0.4,
    "several": 0.14,
    "passages": 0.12,
}
#: How many questions are taught behind one picture; reading it takes as long as a few of them.
QUESTIONS: Final = 18
#: How often questions of a kind are taught beside the others (1.0): what is asked most, most, and
#: "not shown" seldom, since it is the likeliest answer and a model in doubt falls back on it.
EMPHASIS: Final = {
    "attribute": 1.6,
    "reading": 1.6,
    "location": 1.3,
    "comparison": 1.2,
    "unanswerable": 0.6,
}
#: How often the lines of a passage are taught with their places, where they can have one.
PLACED: Final = 0.85
#: By how much a detector of text draws its boxes larger than the letters on each side, and how
#: evenly, in heights of the line: what RapidOCR's were on the drawn world after its margin's end.
_LOOSE: Final = (0.08, 0.09)
_LOST: Final = 0.04
_SAME_FAMILY: Final = 0.3


@dataclass(frozen=True, slots=True)
class Segment:
    """A question about the picture ``row`` and its answer, as token ids."""

    ask: Ask
    row: int
    question: list[int]
    answer: list[int]


@dataclass(frozen=True, slots=True)
class Line:
    """A line of a passage that bears its box: its picture, its true box, and where in the prefix
    the four coordinates begin that it bears.
    """

    row: int
    box: Box
    at: int


@dataclass(frozen=True, slots=True)
class Pack:
    """``rows`` are the pictures whose image tokens stand in ``prefix``, in order; ``lines`` those
    lines of its passages that bear their boxes.
    """

    prefix: list[int]
    rows: list[int]
    segments: list[Segment]
    lines: list[Line] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Read:
    """A passage: its text, the same as it is told, and the true boxes of lines that are placed."""

    text: str
    told: str
    boxes: list[Box]


@dataclass
class Composer:
    """Makes packs out of records; ``emphasis`` says which kinds of question come more often.

    ``placed`` is how often the lines on a picture that is shown bear their boxes.
    """

    tokenizer: PreTrainedTokenizerFast
    records: Sequence[Record]
    patches: int
    questions: int = 12
    emphasis: Mapping[str, float] = field(default_factory=dict)
    placed: float = 1.0
    _by_size: list[int] = field(init=False)
    _families: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_size = sorted(range(len(self.records)), key=self._size)
        self._families = {}
        for row, record in enumerate(self.records):
            if not record.crop:
                self._families.setdefault(record.family, []).append(row)
        self._encode = lru_cache(maxsize=200_000)(self._tokens)
        first = coordinate_ids(self.tokenizer)[0]
        self._opening = range(first, first + STEPS)

    def compose(self, rng: random.Random, form: Form, reach: float = 1.0) -> Pack:
        """A pack of ``form`` about a picture among the simplest ``reach`` share of the album."""
        pool = max(1, round(reach * len(self._by_size)))
        return self.about(rng, self._by_size[rng.randrange(pool)], form)

    def about(self, rng: random.Random, row: int, form: Form) -> Pack:
        """A pack of ``form`` about the picture ``row``; crops are asked in the plain form alone."""
        record = self.records[row]
        if record.crop or form == "plain":
            return self._plain(rng, row)
        return self._grounded(rng, row, form)

    def ids(self, text: str) -> list[int]:
        """Token ids of ``text``, markup included."""
        return list(self._encode(text))

    def _tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _size(self, row: int) -> int:
        record = self.records[row]
        return len(record.items) + len(record.readings) // 4

    def _plain(self, rng: random.Random, row: int) -> Pack:
        record = self.records[row]
        prefix, rows = self.ids(f"{BOS}{USER}"), [row]
        prefix += self._picture() + self.ids("\n")
        segments = []
        for ask in self._sample(rng, record.asks, lambda one: one.kind):
            if ask.kind == "location" and ask.box is not None:
                answer = prompt.box_text(ask.box)
            else:
                answer = ask.answer
            question = ask.question
            if ask.kind == "existence" and ask.language == "en" and not question.endswith("."):
                question += rng.choice(("", f" {prompt.YES_OR_NO}"))
            segments.append(self._segment(ask, row, question, answer))
        return Pack(prefix, rows, segments)

    def _grounded(self, rng: random.Random, row: int, form: Form) -> Pack:
        shown = [row]
        if form in ("several", "passages"):
            shown += self._others(rng, row, rng.choice((1, 1, 2)))
            rng.shuffle(shown)
        passages = {
            r: read
            for r in shown
            if (form not in ("picture", "several") or (form == "several" and rng.random() < 0.4))
            and (read := self._passage(rng, r, placed=form != "passages")).text
        }
        entries: list[tuple[str, int]] = [("passage", r) for r in passages]
        if form != "passages" or not entries:
            pictures = [("picture", r) for r in shown]
            entries = pictures + entries if rng.random() < 0.7 else entries + pictures
        prefix = self.ids(f"{BOS}{SYSTEM}{prompt.SYSTEM}\n{USER}")
        numbers: dict[tuple[str, int], int] = {}
        rows = []
        lines: list[Line] = []
        for number, (what, r) in enumerate(entries, 1):
            numbers[what, r] = number
            if what == "picture":
                prefix += self.ids(prompt.picture_head(number))
                prefix += self._picture() + self.ids("\n")
                rows.append(r)
            else:
                line = self.ids(prompt.passage_line(number, passages[r].told))
                begin = [at for at, token in enumerate(line) if token in self._opening]
                # The first lines bear their boxes; some of a long passage do not.
                lines += [
                    Line(r, box, len(prefix) + at)
                    for box, at in zip(passages[r].boxes, begin, strict=False)
                ]
                prefix += line
        asked = [
            (ask, r) for r in shown for ask in self.records[r].asks if self._clear(ask, r, shown)
        ]
        segments = []
        for ask, r in self._sample(rng, asked, lambda one: one[0].kind):
            answer = self._answer(ask, r, numbers, passages)
            if answer is not None:
                question = prompt.question_line(ask.question)
                segments.append(self._segment(ask, r, question, answer))
        return Pack(prefix, rows, segments, lines)

    def _answer(
        self, ask: Ask, row: int, numbers: dict[tuple[str, int], int], passages: dict[int, _Read]
    ) -> str | None:
        """The answer line; ``None`` where the evidence given leaves it open."""
        if ask.kind == "unanswerable":
            return ask.answer
        picture, passage = numbers.get(("picture", row)), numbers.get(("passage", row))
        if ask.kind == "reading" and passage is not None and ask.answer in passages[row].text:
            return prompt.answer_line(ask.answer, [passage])
        if picture is None:
            return None
        if ask.kind == "existence" and ask.answer in prompt.NO:
            return prompt.answer_line(
                ask.answer, [n for (w, _), n in numbers.items() if w == "picture"]
            )
        return prompt.answer_line(ask.answer, [picture], ask.box)

    def _clear(self, ask: Ask, row: int, shown: Sequence[int]) -> bool:
        """Whether the question can only mean this picture among those shown."""
        others = [self.records[r] for r in shown if r != row]
        if not others:
            return True
        question = ask.question.lower()
        if any(item.label.lower() in question for other in others for item in other.items):
            return False
        own = self.records[row]
        if all(other.family != own.family for other in others):
            return True
        return ask.language == "en" and any(i.label.lower() in question for i in own.items)

    def _others(self, rng: random.Random, row: int, count: int) -> list[int]:
        family = self.records[row].family
        found: list[int] = []
        for _ in range(count):
            kin = [family] if rng.random() < _SAME_FAMILY else list(self._families)
            other = rng.choice(self._families[rng.choice(kin)])
            if other != row and other not in found:
                found.append(other)
        return found

    def _passage(self, rng: random.Random, row: int, *, placed: bool) -> _Read:
        """The text on a picture as OCR would give it: from the top down, a line lost at times."""
        readings = sorted(self.records[row].readings, key=lambda r: (round(r[1][1], 2), r[1][0]))
        found = [reading for reading in readings if rng.random() > _LOST]
        text = prompt.passage_text([(words, None) for words, _ in found])
        if not placed or rng.random() >= self.placed:
            return _Read(text, text, [])
        told = prompt.passage_text([(words, _as_found(rng, box)) for words, box in found])
        return _Read(text, told, [box for _, box in found])

    def _picture(self) -> list[int]:
        return self.ids(IMAGE) * self.patches

    def _segment(self, ask: Ask, row: int, question: str, answer: str) -> Segment:
        return Segment(ask, row, self.ids(f"{question}\n{ASSISTANT}"), self.ids(f"{answer}{EOS}"))

    def _sample(self, rng: random.Random, asks: Sequence[T], kind: Callable[[T], str]) -> list[T]:
        """Up to ``questions`` of ``asks``, each kind as often as ``emphasis`` says."""
        if not self.emphasis:
            return rng.sample(asks, min(self.questions, len(asks)))
        keyed = [
            (rng.random() ** (1 / self.emphasis.get(kind(ask), 1.0)), place)
            for place, ask in enumerate(asks)
        ]
        return [asks[place] for _, place in sorted(keyed, reverse=True)[: self.questions]]


def _as_found(rng: random.Random, box: Box) -> Box:
    """A line's box as a detector would draw it, in the same frame."""
    loose = [rng.gauss(*_LOOSE) * (box[3] - box[1]) for _ in range(4)]
    return box[0] - loose[0], box[1] - loose[1], box[2] + loose[2], box[3] + loose[3]
