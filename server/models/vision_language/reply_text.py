"""Finds the answer in the text of a reply.

A thinking model writes a draft first, and its server may leave it in the text, also without the tag
that opens it: the chat template has written that one. The draft is never taken as the answer. Some
models put the answer into a box: ``<|begin_of_box|>yes<|end_of_box|>``.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pydantic import JsonValue
from pydantic_core import from_json

from sightline.tools.boxes import tolerant_json

#: What opens and what ends a draft.
_DRAFT_OPENS: Final = re.compile(
    r"\s*(?:<(?:think|thinking|thought|reasoning|seed:think)>|◁think▷|\[THINK\]"
    r"|<\|START_THINKING\|>|<\|begin_of_thought\|>|<\|channel>thought"
    r"|<\|channel\|>analysis<\|message\|>)",
    re.IGNORECASE,
)
_DRAFT_ENDS: Final = re.compile(
    r"</(?:think|thinking|thought|reasoning|seed:think)>|◁/think▷|\[/THINK\]"
    r"|<\|END_THINKING\|>|<\|end_of_thought\|>|<channel\|>"
    r"|<\|channel\|>final<\|message\|>",
    re.IGNORECASE,
)
#: What encloses the answer in a longer text; ``\boxed{}`` too.
_ENCLOSED: Final = re.compile(
    r"<\|begin_of_box\|>(.*?)(?:<\|end_of_box\|>|\Z)|<answer>(.*?)(?:</answer>|\Z)"
    r"|\\boxed\{([^{}]{0,200})\}",
    re.DOTALL | re.IGNORECASE,
)
_MARKERS: Final = re.compile(r"<\|(?:begin|end)_of_box\|>|</?answer>", re.IGNORECASE)
_FENCES: Final = re.compile(r"\A\s*```\w{0,20}|```\s*\Z")
#: A draft is longer: what is as short as this is an answer in the wrong field.
_MAX_BARE_CHARS: Final = 40

_WORD_CHARACTER: Final = re.compile(r"[0-9A-Za-z]")
_PUNCTUATION: Final = " \t\r\n.,;:!?\"'`*_~#()[]{}<>|。，！？：；“”（）【】"
#: What a model writes before its verdict.
_ANNOUNCED: Final = re.compile(
    r"(?:answer|verdict|conclusion|result|response|答案|回答|结论|結論)"
    r"(?:\s{1,3}is\b|\s{0,3}(?:是|为|為)(?=\s{0,3}[：:「“\"]))?[\s\"'`*_:：=>「“(\[{|-]{1,12}",
    re.IGNORECASE,
)
_ALTERNATIVE: Final = re.compile(r"\s{0,3}(?:/|\bor\b|\band\b|或|还是|還是)\s{0,3}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class AnswerText:
    """The text of a reply.

    The answer begins at ``start``; the draft, if ``has_draft``, ends there. The answer is empty if
    the reply ends inside the draft.
    """

    content: str
    start: int = 0
    has_draft: bool = False

    @property
    def text(self) -> str:
        """Return the answer without the marks that enclose it."""
        answer = self.content[self.start :]
        enclosed = re.search(r"<answer>(.*?)(?:</answer>|\Z)", answer, re.DOTALL | re.IGNORECASE)
        answer = _MARKERS.sub("", enclosed[1] if enclosed else answer)
        return answer.strip() if self.has_draft else answer


def find_answer(content: str) -> AnswerText:
    """Return the answer in the text of a reply. Takes linear time."""
    if not _DRAFT_ENDS.search(content):
        is_open = _DRAFT_OPENS.match(content) is not None
        return AnswerText(content, len(content) if is_open else 0, is_open)
    if is_json(content):  # the answer quotes a tag
        return AnswerText(content)
    start = max(match.end() for match in _DRAFT_ENDS.finditer(content))
    if _DRAFT_OPENS.match(content, start):
        start = len(content)
    return AnswerText(content, start, has_draft=True)


def is_answer(draft: str) -> bool:
    """Return whether a draft is an answer: JSON, or a few words."""
    text = _FENCES.sub("", draft).strip()
    return bool(text) and (len(text) <= _MAX_BARE_CHARS or is_json(text))


def is_json(text: str) -> bool:
    """Return whether the whole text is one JSON object or list."""
    if not text.lstrip().startswith(("{", "[")):
        return False
    try:
        from_json(text)
    except ValueError:
        return False
    return True


def parse_answer_json(text: str) -> tuple[JsonValue, bool]:
    """Return the JSON value of an answer and whether it was repaired."""
    try:
        value: JsonValue = from_json(text, allow_inf_nan=False)
    except (ValueError, TypeError):  # TypeError: half a surrogate pair
        documents = tolerant_json.documents(text)
        # Choose the largest: a model may write "[1]" before the actual answer.
        best = max(documents, key=lambda document: _size(document.value), default=None)
        return (None, False) if best is None else (_floats_to_ints(best.value), True)
    return value, False


def parse_choice(text: str, choices: Sequence[str]) -> tuple[str, int] | None:
    """Return the choice that an answer names and its place in the text.

    The choice is what begins in a box, else after ``Answer:``, else at the start of the text. None
    without one.
    """
    enclosed = [
        _skip_punctuation(text, match.start(match.lastindex or 0))
        for match in _ENCLOSED.finditer(text)
    ]
    announced = [match.end() for match in _ANNOUNCED.finditer(text)]
    for at in (*reversed(enclosed), *reversed(announced), _skip_punctuation(text, 0)):
        if (choice := _choice_at(text, at, choices)) is not None:
            return choice, at
    return None


def _skip_punctuation(text: str, at: int) -> int:
    while at < len(text) and text[at] in _PUNCTUATION:
        at += 1
    return at


def _choice_at(text: str, at: int, choices: Sequence[str]) -> str | None:
    """Return the only choice that stands at a place."""
    # A letter or digit after the choice continues the word: "no" is not the answer in "nothing".
    found = [
        choice
        for choice in choices
        if text[at : at + len(choice)].casefold() == choice.casefold()
        and not _WORD_CHARACTER.match(text, at + len(choice))
    ]
    if len(found) > 1:  # one is the beginning of another
        rest = text[at:].strip(_PUNCTUATION).casefold()
        found = [choice for choice in found if choice.casefold() == rest]
    if len(found) != 1:
        return None
    alternative = _ALTERNATIVE.match(text, at + len(found[0]))
    if alternative is not None:  # "yes or no"
        others = [choice for choice in choices if choice != found[0]]
        rest = text[alternative.end() :].casefold()
        if any(rest.startswith(other.casefold()) for other in others):
            return None
    return found[0]


def _size(value: tolerant_json.Value) -> int:
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    if isinstance(value, dict):
        return 1 + sum(map(_size, value.values())) + len(value)
    return 1


def _floats_to_ints(value: tolerant_json.Value) -> JsonValue:
    """Convert whole numbers to integers, as a strict JSON parser returns them."""
    if isinstance(value, list):
        return [_floats_to_ints(item) for item in value]
    if isinstance(value, dict):
        return {key: _floats_to_ints(item) for key, item in value.items()}
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value
