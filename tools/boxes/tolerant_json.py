"""Parse JSON as models write it: inside prose, truncated or malformed.

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
_BRACKET: Final = re.compile(r"[\[{]")
_NUMBER: Final = re.compile(r"[-+]?(?:\d{1,20}(?:\.\d{0,20})?|\.\d{1,20})(?:[eE][-+]?\d{1,3})?")
_WORD: Final = re.compile(r"[A-Za-z_]\w{0,63}")
#: A string up to its closing quote or the end of the text.
_STRINGS: Final = {
    '"': re.compile(r'"((?:[^"\\]|\\.?)*)', re.DOTALL),
    "'": re.compile(r"'((?:[^'\\]|\\.?)*)", re.DOTALL),
}
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})?|(.?))", re.DOTALL)
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
            else:
                result.append(JsonDocument(value, parser.truncated))
    except _BudgetError:
        pass
    return result


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.truncated = False
        self._steps = len(text) * _STEPS_PER_CHAR + 1000

    def seek(self) -> bool:
        """Move to the next bracket; return False if there is none."""
        bracket = _BRACKET.search(self.text, self.position)
        if bracket is not None:
            self._advance(bracket.start())
        return bracket is not None

    def value(self, depth: int) -> Value:
        if depth > _MAX_DEPTH:
            raise _MalformedError
        character = self._peek()
        if character == "[":
            return self._list(depth)
        if character == "{":
            return self._object(depth)
        if character in _STRINGS:
            return self._string(character)
        if _NUMBER.match(self.text, self.position):
            return float(self._match(_NUMBER)[0])
        word = self._match(_WORD)[0].lower()
        if word not in _WORDS:
            raise _MalformedError
        return _WORDS[word]

    def _list(self, depth: int) -> list[Value]:
        items: list[Value] = []
        self._advance(self.position + 1)
        while self._next_item("]"):
            item = self.value(depth + 1)
            if not self._is_truncated_number(item):
                items.append(item)
        return items

    def _object(self, depth: int) -> dict[str, Value]:
        members: dict[str, Value] = {}
        self._advance(self.position + 1)
        while character := self._next_item("}"):
            key = self._string(character) if character in _STRINGS else self._match(_WORD)[0]
            separator = self._peek()
            if separator and separator not in ":=":
                raise _MalformedError
            self._advance(self.position + len(separator))
            if not self._peek():
                self.truncated = True
                break
            item = self.value(depth + 1)
            if not self._is_truncated_number(item):
                members.setdefault(key, item)
        return members

    def _next_item(self, end: str) -> str:
        """Skip commas; return the first character of the next item, "" after the last one."""
        while (character := self._peek()) == ",":
            self._advance(self.position + 1)
        if character == end:
            self._advance(self.position + 1)
            return ""
        self.truncated |= not character
        return character

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str]:
        match = pattern.match(self.text, self.position)
        if match is None:
            raise _MalformedError
        self._advance(match.end())
        return match

    def _string(self, quote: str) -> str:
        string = self._match(_STRINGS[quote])
        if self.position < len(self.text):
            self._advance(self.position + 1)
        else:
            self.truncated = True
        return _ESCAPE.sub(_unescape, string.group(1))

    def _is_truncated_number(self, item: Value) -> bool:
        """Return whether ``item`` is a number at the end whose digits may be missing."""
        if self.position < len(self.text) or isinstance(item, bool) or not isinstance(item, float):
            return False
        self.truncated = True
        return True

    def _peek(self) -> str:
        """Return the next character that is not a space, "" at the end."""
        self._match(_SPACE)
        return self.text[self.position : self.position + 1]

    def _advance(self, position: int) -> None:
        self._steps -= position - self.position + 1
        if self._steps < 0:
            raise _BudgetError
        self.position = position


def _unescape(escape: re.Match[str]) -> str:
    digits, code = escape.groups()
    if code is not None:
        return _ESCAPES.get(code, code)
    character = chr(int(digits, 16)) if digits else ""
    # A lone surrogate cannot be stored or sent.
    return "" if "\ud800" <= character <= "\udfff" else character
