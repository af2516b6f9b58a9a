"""Splits SQL text into the tokens that Postgres sees.

Follows the scanner of Postgres (``src/backend/parser/scan.l``) with
``standard_conforming_strings = on``. What a query does not need, or what depends on the version or
the encoding of the server, is refused: control characters, parameters, ``U&``, ``B``, ``X`` and
``N`` strings, strings that continue on another line, numbers in other notations.

Only the tokens of ``tokenize`` are sent, joined by blanks (``serialize``), so that Postgres cannot
read the text differently.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from sightline.storage.errors import InvalidArgumentError, shown

#: Postgres cuts a longer name.
_MAX_NAME_BYTES = 63
_START = r"A-Za-z_\x80-\U0010ffff"
_CONTINUE = rf"{_START}0-9"
_TOKEN = re.compile(
    rf"""
      (?P<space>[ \t\n\r]+|--[^\n\r]*)
    | (?P<comment>/\*)
    | (?P<prefix>[uU]&['"]|[bBnNxX]')
    | (?P<text>[eE]'(?:[^'\\]|''|\\.)*+'|'(?:[^']|'')*+')
    | (?P<dollar>\$(?P<tag>(?:[{_START}][{_CONTINUE}]*+)?)\$.*?\$(?P=tag)\$)
    | (?P<quoted>"(?:[^"]|"")*+")
    | (?P<unclosed>[eE]?'|"|\$(?:[{_START}][{_CONTINUE}]*+)?\$)
    | (?P<word>[{_START}][{_CONTINUE}$]*+)
    | (?P<number>(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?+(?![{_CONTINUE}$.]))
    | (?P<operator>[~!@\#^&|`?+\-*/%<>=]+)
    | (?P<digits>\.?[0-9]+)
    | (?P<mark>::|:=|\.\.|[,()\[\].;:])
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE = re.compile(r"/\*|\*/")
# Only ASCII, as Postgres in a multi-byte encoding.
_FOLD = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)
_MIXED_OPERATOR = frozenset("~!@#^&|`?%")


@dataclass(frozen=True, slots=True)
class SqlToken:
    """A token. The text of a word or quoted name is the name that Postgres looks up."""

    kind: Literal["word", "quoted", "text", "number", "operator", "mark"]
    text: str

    @property
    def sql(self) -> str:
        """The token as it is sent."""
        if self.kind == "quoted":
            return '"' + self.text.replace('"', '""') + '"'
        return self.text


def serialize(tokens: Iterable[SqlToken]) -> str:
    """Return SQL text with exactly these tokens."""
    return " ".join(token.sql for token in tokens)


def tokenize(statement: str) -> Iterator[SqlToken]:
    """Yield the tokens without spaces and comments.

    A word with other letters than a-z is yielded as a quoted name, so that its case does not depend
    on the encoding of the database. Raises InvalidArgumentError for text that is not supported.
    """
    _require_plain_characters(statement)
    position = 0
    after_text = False
    while position < len(statement):
        match = _TOKEN.match(statement, position)
        if match is None:
            raise InvalidArgumentError(_unexpected(statement[position:]))
        kind, text, position = cast("str", match.lastgroup), match.group(), match.end()
        if kind == "comment":
            position = _end_of_comment(statement, position)
        elif kind == "operator":
            text = _first_operator(text)
            position = match.start() + len(text)
            yield SqlToken("operator", text)
        elif kind != "space":
            yield _token(kind, text)
            is_text = kind in ("text", "dollar")
            if is_text and after_text:
                raise InvalidArgumentError(
                    f"A string must not follow a string: {shown(text)}. Join them with ||."
                )
            after_text = is_text
            continue
        after_text = after_text and kind != "operator"


def _token(kind: str, text: str) -> SqlToken:
    match kind:
        case "word" if text.isascii():
            return SqlToken("word", _name(text.translate(_FOLD)))
        case "word":
            return SqlToken("quoted", _name(text.translate(_FOLD)))
        case "quoted":
            return SqlToken("quoted", _name(text[1:-1].replace('""', '"')))
        case "text" | "dollar":
            return SqlToken("text", text)
        case "number" | "mark":
            return SqlToken(kind, text)
        case "prefix":
            raise InvalidArgumentError(
                f"Strings and names with the prefix {text[:-1]} are not supported. Write the "
                "characters directly."
            )
        case "digits":
            raise InvalidArgumentError(
                f"The number at {shown(text)} is not supported. Use a notation such as 10, 1.5 or "
                "1e3, and a blank after it."
            )
    raise InvalidArgumentError(f"Unclosed quote: {text}")


def _name(name: str) -> str:
    """Return the name. Raises InvalidArgumentError if Postgres would cut it."""
    if not name:
        raise InvalidArgumentError('A quoted name is empty: "".')
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise InvalidArgumentError(
            f"The name {shown(name)} has more than {_MAX_NAME_BYTES} bytes. Use a shorter name."
        )
    return name


def _require_plain_characters(statement: str) -> None:
    for character in statement:
        category = unicodedata.category(character)
        if category == "Cs" or (category == "Cc" and character not in "\t\n\r"):
            raise InvalidArgumentError(
                f"The statement contains the control character U+{ord(character):04X}. Remove it; "
                r"in a string write an escape, such as E'\x07'."
            )


def _unexpected(rest: str) -> str:
    if rest[0] == "$":
        return "Parameters such as $1 are not supported. Write the values into the statement."
    return f"Unexpected character {shown(rest[0])} at {shown(rest)}."


def _end_of_comment(statement: str, position: int) -> int:
    """Return the position after a comment. Comments can be nested."""
    depth = 1
    while depth:
        match = _COMMENT_EDGE.search(statement, position)
        if match is None:
            raise InvalidArgumentError("Unclosed comment.")
        depth += 1 if match.group() == "/*" else -1
        position = match.end()
    return position


def _first_operator(text: str) -> str:
    """Return the operator at the beginning of a run of operator characters.

    It ends before a comment. Only an operator with certain characters may end in + or -, so that
    ``1=-1`` compares with a negative number.
    """
    ends = [end for mark in ("/*", "--") if (end := text.find(mark)) > 0]
    operator = text[: min(ends, default=len(text))]
    if operator[-1] in "+-" and not _MIXED_OPERATOR.intersection(operator[:-1]):
        operator = operator[0] + operator[1:].rstrip("+-")
    return operator
