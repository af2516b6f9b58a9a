"""What a question in SQL may be, before Postgres is asked.

This is the second wall. The first is the login that questions run as: it may read the schema
``analytics`` and nothing else, and has nobody to turn into. What is refused here would do no harm
to the data; it would change settings, take locks, sleep, run SQL out of strings or read the
catalogue, which names what other collections and roles there are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown

MOST_CHARACTERS = 20_000
#: How a question may begin; all else is refused by name.
_FIRST_WORDS = frozenset({"select", "with", "values", "table"})
_CATALOGUES = re.compile(
    r"pg_.*|information_schema|(to_)?reg(class|role|proc|procedure|oper|operator|namespace|type"
    r"|config|dictionary|collation)|current_setting|\w*_description|\w+_to_xml\w*"
)
#: Volatile and yet without effect.
HARMLESS = ("random", "random_normal", "clock_timestamp", "timeofday", "gen_random_uuid")

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*)
    | (?P<comment>/\*)
    | (?P<escapes>[uU]&['"])
    | (?P<escaped_text>[eE]'(?:[^'\\]|''|\\.)*')
    | (?P<text>(?:[nNbBxX])?'(?:[^']|'')*')
    | (?P<dollar>\$(?P<tag>(?:[^\W\d]\w*)?)\$.*?\$(?P=tag)\$)
    | (?P<parameter>\$\d+)
    | (?P<quoted>"(?:[^"]|"")*")
    | (?P<word>[^\W\d][\w$]*)
    | (?P<number>\.?\d[\w.]*)
    | (?P<mark>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of a statement; ``text`` of a word is as Postgres folds it."""

    kind: Literal["word", "quoted", "text", "number", "mark"]
    text: str


def tokens(statement: str) -> Iterator[Token]:
    """The statement's pieces without spaces and comments.

    Raises InvalidArgumentError for what it cannot read as Postgres would.
    """
    place = 0
    while place < len(statement):
        match = _TOKEN.match(statement, place)
        if match is None:  # pragma: no cover - `mark` takes any character
            raise InvalidArgumentError(f"cannot be read from {shown(statement[place:])}")
        kind, text, place = match.lastgroup, match.group(), match.end()
        if kind == "comment":
            place = _end_of_comment(statement, place)
        elif kind == "escapes":
            raise InvalidArgumentError("U& strings and names are not taken; write the characters")
        elif kind == "word":
            yield Token("word", text.lower())
        elif kind == "quoted":
            yield Token("quoted", text[1:-1].replace('""', '"'))
        elif kind in ("text", "escaped_text", "dollar", "tag"):
            yield Token("text", text)
        elif kind == "mark" and text in "'\"":
            raise InvalidArgumentError(f"a quote is not closed: {shown(statement[place - 1 :])}")
        elif kind != "space":
            yield Token("number" if kind in ("number", "parameter") else "mark", text)


def _end_of_comment(statement: str, place: int) -> int:
    """Comments of Postgres nest."""
    depth = 1
    while depth:
        match = re.compile(r"/\*|\*/").search(statement, place)
        if match is None:
            raise InvalidArgumentError("a comment is not closed")
        depth += 1 if match.group() == "/*" else -1
        place = match.end()
    return place


@dataclass(frozen=True, slots=True)
class Statement:
    """One question that may be asked."""

    text: str
    #: Names that it calls or may call; which of them may be is for the catalogue to say.
    called: tuple[str, ...]
    #: All names in it.
    named: frozenset[str]


def read(statement: str) -> Statement:
    """Check a question as far as its text goes.

    Raises InvalidArgumentError or NotAllowedError that says what to write instead.
    """
    if len(statement) > MOST_CHARACTERS:
        raise InvalidArgumentError(
            f"the statement has {len(statement):,} characters; use at most {MOST_CHARACTERS:,}"
        )
    if "\x00" in statement:
        raise InvalidArgumentError("the statement has a zero byte")
    found = list(tokens(statement))
    while found and found[-1] == Token("mark", ";"):
        found.pop()
    if Token("mark", ";") in found:
        raise NotAllowedError("one statement at a time: leave out what comes after the first ;")
    first = next((each for each in found if each != Token("mark", "(")), None)
    if first is None:
        raise InvalidArgumentError("the statement is empty; begin with SELECT")
    if first.kind != "word" or first.text not in _FIRST_WORDS:
        raise NotAllowedError(
            f"a statement begins with SELECT, WITH, VALUES or TABLE, not {shown(first.text)}; "
            "for its plan, give explain=true"
        )
    if Token("word", "into") in found:
        raise NotAllowedError("SELECT INTO makes a table, which a question may not")
    names = [each.text for each in found if each.kind in ("word", "quoted")]
    for name in names:
        if _CATALOGUES.fullmatch(name.lower()):
            raise NotAllowedError(
                f"{shown(name)} is of Postgres' catalogue or server, which is not to be read "
                "here; read the views and functions of the schema analytics"
            )
    return Statement(
        text=statement.strip().rstrip(";"),
        called=tuple(sorted(set(_called(found)))),
        named=frozenset(names),
    )


def _called(found: list[Token]) -> Iterator[str]:
    """Names before a parenthesis, and after a dot: ``(row).function`` is a call as well."""
    for place, token in enumerate(found):
        after_dot = place > 0 and found[place - 1].text == "."
        before_arguments = place + 1 < len(found) and found[place + 1].text == "("
        if token.kind in ("word", "quoted") and (after_dot or before_arguments):
            yield token.text
