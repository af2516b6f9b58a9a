"""Quoted words narrow what is searched in text."""

from __future__ import annotations

from dataclasses import replace

from psycopg import sql

from sightline.storage.db import sql_loader
from sightline.storage.retrieval.filters.filter_compiler import Condition
from sightline.storage.retrieval.filters.search_scope import Scope
from sightline.storage.text.quoted_phrases import Phrase, phrases

_SQL = sql_loader.load("retrieval")


def phrased(scope: Scope, query: str) -> Scope:
    """The scope for branches over passages: those alone that hold all phrases of the query."""
    found = phrases(query)
    if not found:
        return scope
    parts = [scope.condition.sql, *(_holds(number, each) for number, each in enumerate(found))]
    values = {f"phrase{n}": each.words or each.characters for n, each in enumerate(found)}
    condition = Condition(
        sql.SQL(" AND ").join(parts), {**scope.condition.parameters, **values}, narrows=True
    )
    return replace(scope, condition=condition)


def without(query: str) -> tuple[str, ...]:
    """What to say where nothing holds the phrases."""
    quoted = ", ".join(repr(each.text) for each in phrases(query))
    return (f"no text holds, as quoted: {quoted}",) if quoted else ()


def _holds(number: int, phrase: Phrase) -> sql.Composed:
    block = _SQL["holds_words" if phrase.words is not None else "holds_characters"]
    return sql.SQL(block).format(phrase=sql.Placeholder(f"phrase{number}"))
