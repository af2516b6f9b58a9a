"""Checks a SQL statement of ``query_sql`` before Postgres runs it.

This is the second barrier. The first is the database role, which may only read the schema
``analytics`` and is a member of no other role. Statements refused here could not damage data, but
change settings, take locks, sleep, run SQL from strings, or read the system catalog, which contains
names of other collections and roles.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, cast

from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown

MAX_STATEMENT_CHARS = 20_000
_FIRST_KEYWORDS = frozenset({"select", "with", "values", "table"})
_CATALOG_NAMES = re.compile(
    r"pg_.*|information_schema|(to_)?reg(class|role|proc|procedure|oper|operator|namespace|type"
    r"|config|dictionary|collation)|current_setting|\w*_description|\w+_to_xml\w*"
)
#: Volatile functions without side effects.
ALLOWED_VOLATILE_FUNCTIONS = [
    "random",
    "random_normal",
    "clock_timestamp",
    "timeofday",
    "gen_random_uuid",
]

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
class SqlToken:
    """A token. The text of a word is in lower case, as Postgres folds it."""

    kind: Literal["word", "quoted", "text", "number", "mark"]
    text: str


def tokenize(statement: str) -> Iterator[SqlToken]:
    """Yield the tokens without spaces and comments.

    Raises InvalidArgumentError if it cannot parse the text like Postgres.
    """
    position = 0
    while position < len(statement):
        # `mark` matches any character.
        match = cast("re.Match[str]", _TOKEN.match(statement, position))
        kind, text, position = match.lastgroup, match.group(), match.end()
        if kind == "comment":
            position = _end_of_comment(statement, position)
        elif kind == "escapes":
            raise InvalidArgumentError(
                "U& strings and names are not supported. Write the characters directly."
            )
        elif kind == "word":
            yield SqlToken("word", text.lower())
        elif kind == "quoted":
            yield SqlToken("quoted", text[1:-1].replace('""', '"'))
        elif kind in ("text", "escaped_text", "dollar", "tag"):
            yield SqlToken("text", text)
        elif kind == "mark" and text in "'\"":
            raise InvalidArgumentError(f"Unclosed quote: {shown(statement[position - 1 :])}")
        elif kind != "space":
            yield SqlToken("number" if kind in ("number", "parameter") else "mark", text)


def _end_of_comment(statement: str, position: int) -> int:
    """Return the position after a comment. Comments can be nested."""
    depth = 1
    while depth:
        match = re.compile(r"/\*|\*/").search(statement, position)
        if match is None:
            raise InvalidArgumentError("Unclosed comment.")
        depth += 1 if match.group() == "/*" else -1
        position = match.end()
    return position


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that passed the check."""

    text: str
    called_names: list[str]
    """Names that may be function calls; the catalog knows which functions are allowed."""
    names: frozenset[str]
    """All names in the statement."""


def check_statement(statement: str) -> Statement:
    """Check the text of a statement. Raises InvalidArgumentError or NotAllowedError."""
    if len(statement) > MAX_STATEMENT_CHARS:
        raise InvalidArgumentError(
            f"The statement has {len(statement):,} characters. The maximum is "
            f"{MAX_STATEMENT_CHARS:,}."
        )
    if "\x00" in statement:
        raise InvalidArgumentError("The statement contains a NUL character.")
    tokens = list(tokenize(statement))
    while tokens and tokens[-1] == SqlToken("mark", ";"):
        tokens.pop()
    if SqlToken("mark", ";") in tokens:
        raise NotAllowedError("Only one statement is allowed. Remove everything after the first ;.")
    first = next((each for each in tokens if each != SqlToken("mark", "(")), None)
    if first is None:
        raise InvalidArgumentError("The statement is empty. Start with SELECT.")
    if first.kind != "word" or first.text not in _FIRST_KEYWORDS:
        raise NotAllowedError(
            f"A statement must start with SELECT, WITH, VALUES or TABLE, not {shown(first.text)}. "
            "For the query plan, set explain=true."
        )
    if SqlToken("word", "into") in tokens:
        raise NotAllowedError("SELECT INTO creates a table and is not allowed.")
    names = [each.text for each in tokens if each.kind in ("word", "quoted")]
    for name in names:
        if _CATALOG_NAMES.fullmatch(name.lower()):
            raise NotAllowedError(
                f"{shown(name)} belongs to the Postgres system catalog and is not allowed. Use the "
                "views and functions of the schema analytics."
            )
    # Before a parenthesis or after a dot (``(row).function``).
    texts = ["", *(each.text for each in tokens), ""]
    called_names = {
        token.text
        for before, token, after in zip(texts, tokens, texts[2:], strict=False)
        if token.kind in ("word", "quoted") and (before == "." or after == "(")
    }
    return Statement(statement.strip().rstrip(";"), sorted(called_names), frozenset(names))
