"""Checks the functions, types and relations that Postgres sees in a statement.

The names in a text do not tell everything: grammar, operators and casts call functions too. So
Postgres parses the statement, without planning or running it, and sends its parse tree
(``debug_print_parse``), in which every object has its number in the catalog.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from psycopg import errors, sql

from sightline.storage.analytics.sql_functions import ALLOWED_FUNCTIONS, VOLATILE_FUNCTIONS
from sightline.storage.db.queries import Connection, fetch_value, fetch_values, load_sql
from sightline.storage.errors import ConfigurationError, InvalidArgumentError

_SQL = load_sql("analytics")
#: Fields of the tree with one number or a list of them: ``:funcid 1569``, ``:coltypes (o 25 23)``.
#: Lines are broken at any blank.
_FIELDS = re.compile(r":(\w+)\s+(?:(\d+)|\(o\s([\d\s]+)\))(?=[\s)}])")
_FUNCTION = re.compile(r"\w*func_?id|\w+fnoid|\w+InRangeFunc|tsmhandler", re.IGNORECASE)
_TYPE = re.compile(r"\w*types?(?:_?o?id)?|\w*typ(?:e?id|oid)", re.IGNORECASE)
#: Reading a larger one would keep other calls waiting.
_MAX_TREE_CHARS: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class ReferencedObjects:
    """Numbers of the catalog (``pg_proc``, ``pg_type``, ``pg_class``) in a parse tree."""

    functions: frozenset[int]
    types: frozenset[int]
    relations: frozenset[int]


def prepare_statement(query: sql.Composed) -> sql.Composed:
    """Return the command that lets Postgres parse a query."""
    return sql.SQL(_SQL["prepare_statement"]).format(query=query)


async def refused_objects(connection: Connection, prepare: sql.Composed) -> list[str]:
    """Return the names of all that the query of ``prepare`` may not use.

    Ends the transaction. Returns nothing where Postgres would write the tree to its log. A
    superuser, or a role that may set ``temp_file_limit`` and ``log_min_messages``, prevents that
    with `grant-analyst`. Raises what Postgres raises for an invalid query, InvalidArgumentError for
    a query that is too large.
    """
    if not await fetch_value(connection, _SQL["log_is_closed"]):
        return []
    tree = await _parse(connection, prepare)
    found = referenced_objects(tree)
    params = {
        "functions": sorted(found.functions),
        "types": sorted(found.types),
        "relations": sorted(found.relations),
        "allowed": ALLOWED_FUNCTIONS,
        "volatile": VOLATILE_FUNCTIONS,
    }
    return await fetch_values(connection, _SQL["refused_objects"], params)


async def _parse(connection: Connection, prepare: sql.Composed) -> str:
    trees: list[str] = []

    def collect(notice: errors.Diagnostic) -> None:
        if notice.message_primary == "parse tree:" and notice.message_detail is not None:
            trees.append(notice.message_detail)

    await connection.execute(_SQL["show_parse_tree"])
    connection.add_notice_handler(collect)
    try:
        # Binary: with the extended protocol, which accepts one statement.
        await connection.execute(prepare, binary=True)
    finally:
        connection.remove_notice_handler(collect)
    await connection.rollback()  # the settings
    # The tree of the command comes before that of its query.
    if len(trees) != 2 or not re.match(r"\{QUERY\s+:commandType 1\s", trees[1]):
        raise ConfigurationError(
            "This Postgres does not show how it parses a statement, so query_sql cannot check it. "
            "Use a version that Sightline supports."
        )
    if len(trees[1]) > _MAX_TREE_CHARS:
        raise InvalidArgumentError(
            f"The statement is too large: parsed, it has {len(trees[1]):,} characters, and the "
            f"maximum is {_MAX_TREE_CHARS:,}. Select fewer columns, or ask in several statements."
        )
    return trees[1]


def referenced_objects(tree: str) -> ReferencedObjects:
    """Return the objects in a parse tree of Postgres.

    Texts in it cannot look like a field: Postgres escapes their blanks, or prints bytes.
    """
    functions: set[int] = set()
    types: set[int] = set()
    relations: set[int] = set()
    for name, number, numbers in _FIELDS.findall(tree):
        if _FUNCTION.fullmatch(name):
            target = functions
        elif _TYPE.fullmatch(name):
            target = types
        elif name == "relid":
            target = relations
        else:
            continue
        target.update(map(int, (number or numbers).split()))
    # 0: none
    return ReferencedObjects(
        frozenset(functions - {0}), frozenset(types - {0}), frozenset(relations - {0})
    )
