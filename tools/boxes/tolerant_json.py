"""Parse JSON as models write it: fenced, inside prose, truncated, or slightly malformed.

Tolerated: ``None``/``True``, single quotes, trailing or missing commas, keys without quotes, and
the end of the text at any point. A number at the end is dropped, because digits may be missing.
Length, depth and steps are bounded, so hostile text takes linear time. The library json-repair
needs quadratic time for such text, keeps truncated numbers and does not report truncation.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeAlias

Value: TypeAlias = "bool | float | str | list[Value] | dict[str, Value] | None"

#: Longer texts are cut. A reply with boxes has a few thousand characters.
MAX_CHARS: Final = 20_000
_MAX_DEPTH: Final = 32
_STEPS_PER_CHAR: Final = 8

_SPACE: Final = re.compile(r"\s*")
_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,3})?")
_WORD: Final = re.compile(r"[A-Za-z_]\w{0,63}")
_UNQUOTED: Final = {'"': re.compile(r'[^"\\]*'), "'": re.compile(r"[^'\\]*")}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f"}
_WORDS: Final[dict[str, Value]] = {
    "null": None,
    "none": None,
    "nil": None,
    "true": True,
    "false": False,
}


@dataclass(frozen=True, slots=True)
class JsonDocument:
    """A JSON value in a text, and whether the text ends inside it."""

    value: Value
    truncated: bool


class _MalformedError(Exception):
    """The text at this position is not JSON."""


class _BudgetError(Exception):
    """The step budget is used up."""


def documents(text: str) -> list[JsonDocument]:
    """Return every outermost list and object in the text, in order."""
    parser = _Parser(text[:MAX_CHARS])
    result: list[JsonDocument] = []
    try:
        while parser.seek():
            start = parser.position
            try:
                value = parser.value(0)
            except _MalformedError:
                parser.position = start + 1
                continue
            result.append(JsonDocument(value, parser.truncated))
    except _BudgetError:
        return result
    return result


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.truncated = False
        self._steps = len(text) * _STEPS_PER_CHAR + 1000

    def seek(self) -> bool:
        """Move to the next bracket; return False if there is none."""
        places = [self.text.find(bracket, self.position) for bracket in "[{"]
        places = [place for place in places if place >= 0]
        if not places:
            return False
        self._spend(min(places) - self.position)
        self.position = min(places)
        return True

    def value(self, depth: int) -> Value:
        if depth > _MAX_DEPTH:
            raise _MalformedError
        character = self._peek()
        if character == "[":
            return self._list(depth)
        if character == "{":
            return self._object(depth)
        if character in _UNQUOTED:
            return self._string(character)
        number = _NUMBER.match(self.text, self.position)
        if number:
            self._advance(number.end())
            return float(number.group())
        word = _WORD.match(self.text, self.position)
        if word and word.group().lower() in _WORDS:
            self._advance(word.end())
            return _WORDS[word.group().lower()]
        raise _MalformedError

    def _list(self, depth: int) -> list[Value]:
        items: list[Value] = []
        self._advance(self.position + 1)
        while True:
            character = self._peek()
            if character == "]":
                self._advance(self.position + 1)
                return items
            if not character:
                self.truncated = True
                return items
            if character == ",":
                self._advance(self.position + 1)
                continue
            item = self.value(depth + 1)
            if not self._is_truncated_number(item):
                items.append(item)

    def _object(self, depth: int) -> dict[str, Value]:
        members: dict[str, Value] = {}
        self._advance(self.position + 1)
        while True:
            character = self._peek()
            if character == "}":
                self._advance(self.position + 1)
                return members
            if not character:
                self.truncated = True
                return members
            if character == ",":
                self._advance(self.position + 1)
                continue
            key = self._key(character)
            separator = self._peek()
            if not separator:
                self.truncated = True
                return members
            if separator not in ":=":
                raise _MalformedError
            self._advance(self.position + 1)
            if not self._peek():
                self.truncated = True
                return members
            item = self.value(depth + 1)
            if not self._is_truncated_number(item):
                members.setdefault(key, item)

    def _key(self, character: str) -> str:
        if character in _UNQUOTED:
            return self._string(character)
        word = _WORD.match(self.text, self.position)
        if word is None:
            raise _MalformedError
        self._advance(word.end())
        return word.group()

    def _string(self, quote: str) -> str:
        parts: list[str] = []
        self._advance(self.position + 1)
        while True:
            run = _UNQUOTED[quote].match(self.text, self.position)
            if run is not None:
                parts.append(run.group())
                self._advance(run.end())
            ending = self.text[self.position : self.position + 1]
            if ending == quote:
                self._advance(self.position + 1)
                return "".join(parts)
            if not ending:
                self.truncated = True
                return "".join(parts)
            parts.append(self._escape())

    def _escape(self) -> str:
        code = self.text[self.position + 1 : self.position + 2]
        self._advance(self.position + 1 + len(code))
        if code != "u":
            return _ESCAPES.get(code, code)
        digits = self.text[self.position : self.position + 4]
        if re.fullmatch(r"[0-9a-fA-F]{4}", digits) is None:
            return ""
        self._advance(self.position + 4)
        character = chr(int(digits, 16))
        # A lone surrogate cannot be stored or sent.
        return "" if "\ud800" <= character <= "\udfff" else character

    def _is_truncated_number(self, item: Value) -> bool:
        """Return whether ``item`` is a number at the end whose digits may be missing."""
        if self.position < len(self.text) or isinstance(item, bool) or not isinstance(item, float):
            return False
        self.truncated = True
        return True

    def _peek(self) -> str:
        """Return the next character that is not a space, "" at the end."""
        space = _SPACE.match(self.text, self.position)
        if space is not None:
            self._advance(space.end())
        return self.text[self.position : self.position + 1]

    def _advance(self, position: int) -> None:
        self._spend(position - self.position)
        self.position = position

    def _spend(self, steps: int) -> None:
        self._steps -= steps + 1
        if self._steps < 0:
            raise _BudgetError
