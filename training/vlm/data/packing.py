"""Sequence packing: several questions share one prefix with the evidence.

A packed sequence has a prefix (system line, images, passages) and segments (question and answer).
A segment attends only to the prefix and itself, and its positions start after the prefix. A packed
question is therefore equivalent to a separate sequence.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Literal, TypeVar

from transformers import PreTrainedTokenizerFast

from sightline.training.vlm.data import prompt
from sightline.training.vlm.data.album import QuestionAnswer, Record
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
from sightline.training.vlm.data.wordings.rephrase import Wordings
from sightline.training.world.core.scene import LANGUAGES, NOT_SHOWN

T = TypeVar("T")
Form = Literal["plain", "picture", "picture and passage", "several", "passages"]
#: Probability of each prompt form.
FORMS: Final[dict[Form, float]] = {
    "plain": 0.08,
    "picture": 0.2,
    "picture and passage": 0.42,
    "several": 0.24,
    "passages": 0.06,
}
#: Questions per image; encoding the image costs as much as a few questions.
MAX_QUESTIONS: Final = 18
#: Sampling weight per question kind (default 1.0). "unanswerable" is low, because otherwise the
#: model answers "not shown" too often.
KIND_WEIGHTS: Final = {
    "attribute": 1.6,
    "reading": 1.6,
    "location": 1.3,
    "comparison": 1.2,
    "unanswerable": 0.6,
}
#: Share of passages whose lines have boxes.
BOX_RATE: Final = 0.85
#: Mean and standard deviation of the margin of detected text boxes, in line heights. Measured with
#: RapidOCR on synthetic images.
_BOX_MARGIN: Final = (0.08, 0.09)
_MISSING_LINE_RATE: Final = 0.04
_SAME_FAMILY_RATE: Final = 0.3
#: Probability of one more unanswerable question per language, and of a question about an object of
#: another family.
_UNANSWERABLE_RATE: Final = 0.5
_FOREIGN_RATE: Final = 0.3
#: Texts that name the subject of an image: a product, a part or a patient.
_NAME: Final = re.compile(r"\b[A-Z]{1,2}-\d{2,4}\b")


@dataclass(frozen=True, slots=True)
class Segment:
    """A question about image ``row`` and its answer, as token ids."""

    qa: QuestionAnswer
    row: int
    question: list[int]
    answer: list[int]


@dataclass(frozen=True, slots=True)
class PassageLine:
    """A passage line with a box.

    ``row`` is its image, ``box`` its true box, ``at`` the prefix position of its first coordinate.
    """

    row: int
    box: Box
    at: int


@dataclass(frozen=True, slots=True)
class PackedSequence:
    """A prefix with several segments.

    ``rows`` are the images in ``prefix``, in order. ``lines`` are the passage lines with boxes.
    """

    prefix: list[int]
    rows: list[int]
    segments: list[Segment]
    lines: list[PassageLine] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Passage:
    """A passage: plain text, text with boxes, and true boxes of its lines."""

    text: str
    text_with_boxes: str
    boxes: list[Box]


@dataclass
class Packer:
    """Creates packed sequences from records.

    ``kind_weights`` are sampling weights of question kinds. ``box_rate`` is the share of passages
    whose lines have boxes, if their image is shown. ``wordings`` rewrites questions and adds
    unanswerable ones.
    """

    tokenizer: PreTrainedTokenizerFast
    records: Sequence[Record]
    patches: int
    max_questions: int = 12
    kind_weights: Mapping[str, float] = field(default_factory=dict)
    box_rate: float = 1.0
    wordings: Wordings | None = None
    _by_complexity: list[int] = field(init=False)
    _families: dict[str, list[int]] = field(init=False)

    def __post_init__(self) -> None:
        self._by_complexity = sorted(range(len(self.records)), key=self._complexity)
        self._families = {}
        for row, record in enumerate(self.records):
            if not record.crop:
                self._families.setdefault(record.family, []).append(row)
        self._encode = lru_cache(maxsize=200_000)(self._tokens)
        first = coordinate_ids(self.tokenizer)[0]
        self._first_coordinates = range(first, first + STEPS)

    def sample_sequence(self, rng: random.Random, form: Form, share: float = 1.0) -> PackedSequence:
        """Pack questions about an image from the simplest ``share`` of the album."""
        pool = max(1, round(share * len(self._by_complexity)))
        return self.pack(rng, self._by_complexity[rng.randrange(pool)], form)

    def pack(self, rng: random.Random, row: int, form: Form) -> PackedSequence:
        """Pack questions about image ``row``; crops always use the plain form."""
        record = self.records[row]
        if record.crop or form == "plain":
            return self._plain(rng, row)
        return self._grounded(rng, row, form)

    def ids(self, text: str) -> list[int]:
        """Return the token ids of ``text``, including markup."""
        return list(self._encode(text))

    def _tokens(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False))

    def _complexity(self, row: int) -> int:
        record = self.records[row]
        return len(record.items) + len(record.texts) // 4

    def _plain(self, rng: random.Random, row: int) -> PackedSequence:
        record = self.records[row]
        prefix, rows = self.ids(f"{BOS}{USER}"), [row]
        prefix += self._image_tokens() + self.ids("\n")
        segments = []
        questions = [*record.questions, *self._more_unanswerable(rng, record)]
        for qa in self._sample(rng, questions, lambda one: one.kind):
            if qa.kind == "location" and qa.box is not None:
                answer = prompt.format_box(qa.box)
            else:
                answer = qa.answer
            question = qa.question
            claim_check = question.endswith(".")
            if qa.kind == "existence" and qa.language == "en" and not claim_check:
                claim_check = rng.random() < 0.5
                question += f" {prompt.YES_OR_NO}" if claim_check else ""
            if not claim_check:
                question = self._reworded(rng, qa, record)
            segments.append(self._segment(qa, row, question, answer))
        return PackedSequence(prefix, rows, segments)

    def _grounded(self, rng: random.Random, row: int, form: Form) -> PackedSequence:
        shown_rows = [row]
        if form in ("several", "passages"):
            shown_rows += self._sample_other_images(rng, row, rng.choice((1, 1, 2)))
            rng.shuffle(shown_rows)
        passages = {
            r: passage
            for r in shown_rows
            if (form not in ("picture", "several") or (form == "several" and rng.random() < 0.4))
            and (passage := self._passage(rng, r, with_boxes=form != "passages")).text
        }
        entries: list[tuple[str, int]] = [("passage", r) for r in passages]
        if form != "passages" or not entries:
            images = [("picture", r) for r in shown_rows]
            entries = images + entries if rng.random() < 0.7 else entries + images
        prefix = self.ids(f"{BOS}{SYSTEM}{prompt.SYSTEM}\n{USER}")
        numbers: dict[tuple[str, int], int] = {}
        rows = []
        lines: list[PassageLine] = []
        for number, (what, r) in enumerate(entries, 1):
            numbers[what, r] = number
            if what == "picture":
                prefix += self.ids(prompt.image_header(number))
                prefix += self._image_tokens() + self.ids("\n")
                rows.append(r)
            else:
                line = self.ids(prompt.format_passage(number, passages[r].text_with_boxes))
                box_starts = [
                    at for at, token in enumerate(line) if token in self._first_coordinates
                ]
                # In a long passage, only the first lines have boxes.
                lines += [
                    PassageLine(r, box, len(prefix) + at)
                    for box, at in zip(passages[r].boxes, box_starts, strict=False)
                ]
                prefix += line
        candidates = [
            (qa, r)
            for r in shown_rows
            for qa in self.records[r].questions
            if self._is_unambiguous(qa, r, shown_rows)
        ]
        if len(shown_rows) == 1:
            candidates += [(qa, row) for qa in self._more_unanswerable(rng, self.records[row])]
        segments = []
        for qa, r in self._sample(rng, candidates, lambda one: one[0].kind):
            answer = self._answer(qa, r, numbers, passages)
            if answer is not None:
                question = prompt.format_question(self._reworded(rng, qa, self.records[r]))
                segments.append(self._segment(qa, r, question, answer))
        return PackedSequence(prefix, rows, segments, lines)

    def _reworded(self, rng: random.Random, qa: QuestionAnswer, record: Record) -> str:
        if self.wordings is None:
            return qa.question
        found = [name for text, _ in record.texts for name in _NAME.findall(text)]
        names = [name for name in found if name != qa.answer]
        return self.wordings.rephrase(rng, qa.question, qa.language, names)

    def _more_unanswerable(self, rng: random.Random, record: Record) -> list[QuestionAnswer]:
        """Return questions that the image of ``record`` does not answer."""
        if self.wordings is None or record.crop:
            return []
        questions = [
            QuestionAnswer(
                "unanswerable",
                language,
                self.wordings.unanswerable_question(rng, record.family, language),
                NOT_SHOWN[language],
                None,
            )
            for language in LANGUAGES
            if rng.random() < _UNANSWERABLE_RATE
        ]
        if rng.random() < _FOREIGN_RATE:
            questions += self._foreign_question(rng, record)
        return questions

    def _foreign_question(self, rng: random.Random, record: Record) -> list[QuestionAnswer]:
        """Return a question about an object of another family, if one is found."""
        families = [each for each in self._families if each != record.family]
        if not families:
            return []
        other = self.records[rng.choice(self._families[rng.choice(families)])]
        own = {item.label for item in record.items} | {text for text, _ in record.texts}
        labels = {item.label for item in other.items} - own
        english, chinese = other.questions[::2], other.questions[1::2]
        pairs = [
            pair
            for pair in zip(english, chinese, strict=True)
            if pair[0].kind == "attribute"
            and any(f"the {label}" in pair[0].question for label in labels)
        ]
        if not pairs:
            return []
        qa = rng.choice(rng.choice(pairs))
        answer = NOT_SHOWN["en" if qa.language == "en" else "zh"]
        return [QuestionAnswer("unanswerable", qa.language, qa.question, answer, None)]

    def _answer(
        self,
        qa: QuestionAnswer,
        row: int,
        numbers: dict[tuple[str, int], int],
        passages: dict[int, _Passage],
    ) -> str | None:
        """Return the answer line, or ``None`` if the evidence does not show it."""
        if qa.kind == "unanswerable":
            return qa.answer
        image, passage = numbers.get(("picture", row)), numbers.get(("passage", row))
        if qa.kind == "reading" and passage is not None and qa.answer in passages[row].text:
            return prompt.format_answer(qa.answer, [passage])
        if image is None:
            return None
        if qa.kind == "existence" and qa.answer in prompt.NO:
            return prompt.format_answer(
                qa.answer, [n for (w, _), n in numbers.items() if w == "picture"]
            )
        return prompt.format_answer(qa.answer, [image], qa.box)

    def _is_unambiguous(self, qa: QuestionAnswer, row: int, shown_rows: Sequence[int]) -> bool:
        """Return whether the question is unambiguous among the shown images."""
        others = [self.records[r] for r in shown_rows if r != row]
        if not others:
            return True
        question = qa.question.lower()
        if any(item.label.lower() in question for other in others for item in other.items):
            return False
        own = self.records[row]
        if all(other.family != own.family for other in others):
            return True
        return qa.language == "en" and any(i.label.lower() in question for i in own.items)

    def _sample_other_images(self, rng: random.Random, row: int, count: int) -> list[int]:
        family = self.records[row].family
        others: list[int] = []
        for _ in range(count):
            families = [family] if rng.random() < _SAME_FAMILY_RATE else list(self._families)
            other = rng.choice(self._families[rng.choice(families)])
            if other != row and other not in others:
                others.append(other)
        return others

    def _passage(self, rng: random.Random, row: int, *, with_boxes: bool) -> _Passage:
        """Simulate OCR: lines from top to bottom, some missing."""
        lines = sorted(self.records[row].texts, key=lambda r: (round(r[1][1], 2), r[1][0]))
        detected = [line for line in lines if rng.random() > _MISSING_LINE_RATE]
        text = prompt.join_passage_lines([(words, None) for words, _ in detected])
        if not with_boxes or rng.random() >= self.box_rate:
            return _Passage(text, text, [])
        text_with_boxes = prompt.join_passage_lines(
            [(words, _with_detector_margin(rng, box)) for words, box in detected]
        )
        return _Passage(text, text_with_boxes, [box for _, box in detected])

    def _image_tokens(self) -> list[int]:
        return self.ids(IMAGE) * self.patches

    def _segment(self, qa: QuestionAnswer, row: int, question: str, answer: str) -> Segment:
        return Segment(qa, row, self.ids(f"{question}\n{ASSISTANT}"), self.ids(f"{answer}{EOS}"))

    def _sample(
        self, rng: random.Random, questions: Sequence[T], kind: Callable[[T], str]
    ) -> list[T]:
        """Sample up to ``max_questions`` questions with ``kind_weights``."""
        if not self.kind_weights:
            return rng.sample(questions, min(self.max_questions, len(questions)))
        keyed = [
            (rng.random() ** (1 / self.kind_weights.get(kind(qa), 1.0)), place)
            for place, qa in enumerate(questions)
        ]
        return [questions[place] for _, place in sorted(keyed, reverse=True)[: self.max_questions]]


def _with_detector_margin(rng: random.Random, box: Box) -> Box:
    """Add the random margin of a text detector to a box."""
    margin = [rng.gauss(*_BOX_MARGIN) * (box[3] - box[1]) for _ in range(4)]
    return box[0] - margin[0], box[1] - margin[1], box[2] + margin[2], box[3] + margin[3]
