"""Checks a SQL statement of ``query_sql`` before Postgres runs it.

``parse_tree`` then checks what Postgres understood, and the database role may only read the schema
``analytics``. Statements refused here could not damage data, but change settings, take locks,
sleep, run SQL from strings, or read the system catalog, which contains names of other collections
and roles.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from sightline.storage.analytics.sql_lexer import SqlToken, serialize, tokenize
from sightline.storage.errors import InvalidArgumentError, NotAllowedError, shown

MAX_STATEMENT_CHARS = 20_000
#: Callers who look for tables read the catalog.
VIEWS = (
    *("annotations", "assets", "cluster_members", "collections", "detections"),
    *("embedding_spaces", "embeddings", "passages", "regions", "searches", "sources"),
)
VIEWS_HINT = (
    f"Views: {', '.join(VIEWS)}. The resource sightline://analytics/schema has their columns, and "
    "so has a result of the statement TABLE assets LIMIT 0."
)
# Models write statements inside a code block.
_CODE_BLOCK = re.compile(
    r"\s*(?P<fence>`{1,6})(?:(?:sql|postgres|postgresql|pgsql)\b)?(.*?)(?P=fence)\s*",
    re.DOTALL | re.IGNORECASE,
)
_FIRST_KEYWORDS = frozenset({"select", "with", "values", "table"})
# The schemas of the catalog, all relations in them, and the XML parser, which no view needs.
_CATALOG_NAMES = re.compile(r"_*pg_.*|information_schema|_*xml\w*")
# Grammar that calls a function by a name that does not stand before a parenthesis.
_HIDDEN_CALLS = {"treat": "TREAT(x AS name)", "collation": "COLLATION FOR (x)"}
_OPEN, _CLOSE, _END = (SqlToken("mark", mark) for mark in "();")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement that passed the check."""

    sql: str
    """Its tokens, joined by blanks: the text to send. It fits between parentheses."""
    called_names: list[str]
    """Names that may be function calls; the catalog knows which functions are allowed."""
    names: frozenset[str]
    """All names in the statement."""

    def unused_name(self, name: str) -> str:
        """Return the name with as many ``_`` as needed to differ from all others."""
        while name in self.names:
            name += "_"
        return name


def check_statement(statement: str) -> Statement:
    """Check the text of a statement, which may be in a code block.

    Raises InvalidArgumentError or NotAllowedError.
    """
    if len(statement) > MAX_STATEMENT_CHARS:
        raise InvalidArgumentError(
            f"The statement has {len(statement):,} characters. The maximum is "
            f"{MAX_STATEMENT_CHARS:,}."
        )
    if (block := _CODE_BLOCK.fullmatch(statement)) is not None:
        statement = block[2]
    tokens = _query_tokens(statement)
    if SqlToken("word", "into") in tokens:
        raise NotAllowedError("SELECT INTO creates a table and is not allowed.")
    for word, form in _HIDDEN_CALLS.items():
        if SqlToken("word", word) in tokens:
            raise NotAllowedError(
                f'{form} is not allowed: it calls a function. As a name, write "{word}" in quotes.'
            )
    names = [each.text for each in tokens if each.kind in ("word", "quoted")]
    for name in names:
        if _CATALOG_NAMES.fullmatch(name.lower()):
            raise NotAllowedError(
                f"{shown(name)} belongs to the Postgres system catalog or to XML and is not "
                f"allowed. {VIEWS_HINT}"
            )
    called_names = _called_names(tokens)
    if "operator" in called_names:
        raise NotAllowedError("OPERATOR(schema.name) is not allowed. Write the operator alone.")
    return Statement(serialize(tokens), sorted(called_names), frozenset(names))


def one_query(text: str) -> str:
    """Return the tokens of one query, joined by blanks: it fits between parentheses.

    For logins with no rights but to read. Raises InvalidArgumentError or NotAllowedError.
    """
    return serialize(_query_tokens(text))


def _query_tokens(text: str) -> list[SqlToken]:
    tokens = list(tokenize(text))
    while tokens and tokens[-1] == _END:
        tokens.pop()
    if _END in tokens:
        raise NotAllowedError("Only one statement is allowed. Remove everything after the first ;.")
    first = next((each for each in tokens if each != _OPEN), None)
    if first is None:
        raise InvalidArgumentError("The statement is empty. Start with SELECT.")
    if first.kind != "word" or first.text not in _FIRST_KEYWORDS:
        raise NotAllowedError(
            f"A statement must start with SELECT, WITH, VALUES or TABLE, not {shown(first.text)}. "
            f"For the query plan, set explain=true. {VIEWS_HINT}"
        )
    _require_balanced(tokens)
    return tokens


def _require_balanced(tokens: Sequence[SqlToken]) -> None:
    """Raise InvalidArgumentError unless the tokens are one unit inside parentheses."""
    depth = 0
    for token in tokens:
        depth += (token == _OPEN) - (token == _CLOSE)
        if depth < 0:
            raise InvalidArgumentError("A ) has no ( before it.")
    if depth:
        raise InvalidArgumentError("A ( has no ) after it.")


def _called_names(tokens: Sequence[SqlToken]) -> set[str]:
    """Return the names before a parenthesis or after a dot (``(row).function``)."""
    texts = ["", *(each.text for each in tokens), ""]
    return {
        token.text
        for before, token, after in zip(texts, tokens, texts[2:], strict=False)
        if token.kind in ("word", "quoted") and (before == "." or after == "(")
    }
