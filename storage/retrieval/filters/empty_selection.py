"""Explain why a filter matches nothing: the condition at fault, and close values.

Reads only rows that the caller may see, samples the values, and stops after a short time.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace

from psycopg import errors, sql

from sightline.storage.db.queries import Connection, fetch_value, load_sql
from sightline.storage.errors import shown, similar_texts
from sightline.storage.records.filter_keys import METADATA_PREFIX
from sightline.storage.retrieval.filters.filter_columns import FilterSchema
from sightline.storage.retrieval.filters.filter_compiler import Condition, compile_filters
from sightline.storage.retrieval.filters.filter_language import (
    ORDER_OPERATORS,
    Comparison,
    FilterGroup,
)
from sightline.storage.retrieval.filters.key_values import key_expression, read_values
from sightline.storage.retrieval.filters.search_scope import SearchScope, metadata_fields
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import ResultLevel
from sightline.storage.types import Json

logger = logging.getLogger(__name__)

_TIMEOUT = "2s"
_MAX_CONDITIONS = 6
_SAMPLED_ROWS = 5_000
_SAMPLED_VALUES = 300
_MAX_LISTED_VALUES = 8
_MAX_CLOSE_VALUES = 3
_MIN_SIMILARITY = 0.75
_POSITIVE = {"eq", "in", "any", "all", "contains", "text_match", "text_match_insensitive"}
_SQL = load_sql("selection")


async def explain_empty_selection(
    connection: Connection, scope: SearchScope, level: ResultLevel, schema: FilterSchema
) -> tuple[str, ...]:
    """Return notes if the filter, and not the query, leaves nothing."""
    if scope.filters is None:
        return ()
    what = "image" if level == "asset" else "text"
    try:
        # Rolled back, which restores the time limit of the connection.
        async with connection.transaction(force_rollback=True):
            await connection.execute(_SQL["limit_time"], {"timeout": _TIMEOUT})
            if await _matches(connection, scope, level):
                return ()
            return await _explain(connection, scope, scope.filters, level, schema, what)
    except errors.QueryCanceled:
        logger.info("explaining an empty filter took longer than %s", _TIMEOUT)
        return ()


async def _explain(
    connection: Connection,
    scope: SearchScope,
    filters: FilterGroup,
    level: ResultLevel,
    schema: FilterSchema,
    what: str,
) -> tuple[str, ...]:
    everything = replace(scope, condition=Condition())
    if not await _matches(connection, everything, level):
        return (f"There is no {what} to filter in this selection.",)
    notes: list[str] = []
    for leaf in list(_conditions(filters))[:_MAX_CONDITIONS]:
        alone = compile_filters(FilterGroup((leaf,)), schema, scope.fields)
        if await _matches(connection, replace(scope, condition=alone), level):
            continue
        key = key_expression(leaf.key, schema, scope.fields)
        found = await read_values(
            connection,
            everything,
            level,
            key,
            limit=_SAMPLED_VALUES,
            max_rows=_SAMPLED_ROWS,
        )
        values = [value for value, _ in found.counts]
        hints = [f"No {what} matches {_shown_condition(leaf)}.", _hint(leaf, values)]
        if await _hides_metadata(connection, scope, leaf.key, schema):
            name = shown(METADATA_PREFIX + leaf.key)
            hints.append(f"The metadata has a key of this name: {name}.")
        notes.append(" ".join(hints))
    if not notes:
        notes.append(f"Each condition of the filter matches, but no {what} matches all of them.")
    return tuple(notes)


async def _matches(connection: Connection, scope: SearchScope, level: ResultLevel) -> bool:
    rows, parameters = scope.rows(level)
    statement = sql.SQL(_SQL["any"]).format(rows=rows)
    return bool(await fetch_value(connection, statement, parameters))


async def _hides_metadata(
    connection: Connection, scope: SearchScope, key: str, schema: FilterSchema
) -> bool:
    """Return whether a built-in key has the name of a metadata key."""
    if key not in schema.columns:
        return False
    ids = tuple(scope.collection_ids)
    return key in await metadata_fields(connection, ids, {key}, SearchCaches())


def _conditions(filters: FilterGroup) -> Iterator[Comparison]:
    """Yield the conditions that must or may hold; a negated one needs no close value."""
    for part in filters.parts:
        if isinstance(part, Comparison):
            yield part
        elif part.combine != "not":
            yield from _conditions(part)


def _shown_condition(leaf: Comparison) -> str:
    if leaf.operator == "eq":
        return f"{shown(leaf.key)} = {shown(leaf.value)}"
    return f"{shown(leaf.key)} {leaf.operator} {shown(leaf.value)}"


def _hint(leaf: Comparison, values: Sequence[Json]) -> str:
    """Return the close values, all values if they are few, or the range."""
    if not values:
        return "It has no value here."
    numbers = [each for each in values if isinstance(each, int | float)]
    if leaf.operator in ORDER_OPERATORS:
        ordered: Sequence[Json] = numbers or sorted(map(str, values))
        least, greatest = (min(numbers), max(numbers)) if numbers else (ordered[0], ordered[-1])
        return f"Its values are between {shown(least)} and {shown(greatest)}."
    if leaf.operator in _POSITIVE:
        asked = leaf.value if isinstance(leaf.value, list) else [leaf.value]
        if close := _close(asked, values):
            return f"Close values: {_listed(close[:_MAX_LISTED_VALUES])}."
    if len(values) <= _MAX_LISTED_VALUES:
        return f"Its values: {_listed(values)}."
    return f"Frequent values: {_listed(values[:_MAX_CLOSE_VALUES])}."


def _close(asked: Sequence[object], values: Sequence[Json]) -> list[Json]:
    """Return values in another case or type, and those with a similar spelling."""
    by_text: dict[str, list[Json]] = {}
    for value in values:
        by_text.setdefault(str(value).casefold(), []).append(value)
    texts = {str(each).casefold(): each for each in asked}
    close = [value for text in texts for value in by_text.get(text, ())]
    unknown = [
        text for text, each in texts.items() if isinstance(each, str) and text not in by_text
    ]
    similar = similar_texts(
        unknown, by_text, limit=_MAX_CLOSE_VALUES, min_similarity=_MIN_SIMILARITY
    )
    return close + [by_text[each][0] for each in similar]


def _listed(values: Sequence[Json]) -> str:
    return ", ".join(map(shown, values))
