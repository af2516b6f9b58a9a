"""Complete the names of sources in a filter, of which results show only the end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.errors import choices, shown
from sightline.storage.records.source_text import SHORTENED
from sightline.storage.retrieval.filters.filter_language import Comparison, FilterGroup

_KEY = "source"
_OPERATORS = {"eq", "ne", "in", "nin", "any"}
_MAX_LISTED_NAMES = 5
_SQL = load_sql("source_text")


@dataclass(frozen=True, slots=True)
class _Namesakes:
    """The first sources that end with a value, of ``found``."""

    value: str
    names: Sequence[str]
    found: int


async def complete_source_names(
    connection: Connection, filters: FilterGroup | None, collection_ids: Sequence[int]
) -> tuple[FilterGroup | None, tuple[str, ...]]:
    """Replace the end of one source's name by the whole name.

    An end is a file name, or a path of the last folders. It stays if several sources have it, with
    a note, and if a source has exactly this name.
    """
    values = {each for leaf in _leaves(filters) for each in _texts(leaf.value)}
    if filters is None or not values:
        return filters, ()
    params = {
        "collections": list(collection_ids),
        "values": sorted(values),
        "ends": [each.removeprefix(SHORTENED) for each in sorted(values)],
        "limit": _MAX_LISTED_NAMES,
    }
    rows = await fetch_all(connection, _SQL["sources_by_end"], params, row=_Namesakes)
    whole = {each.value: each.names[0] for each in rows if each.found == 1}
    return _replaced(filters, whole), tuple(_note(each) for each in rows if each.found > 1)


def _note(namesakes: _Namesakes) -> str:
    more = namesakes.found - len(namesakes.names)
    names = choices(namesakes.names) + (f" and {more:,} more" if more else "")
    return (
        f"{shown(namesakes.value)} is the end of several sources: {names}. Filter 'source' with a "
        "whole name, or 'file_name' for all of them."
    )


def _leaves(filters: FilterGroup | None) -> Iterator[Comparison]:
    for part in filters.parts if filters else ():
        if isinstance(part, FilterGroup):
            yield from _leaves(part)
        elif _names_sources(part):
            yield part


def _names_sources(leaf: Comparison) -> bool:
    return leaf.key == _KEY and leaf.operator in _OPERATORS


def _texts(value: object) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [each for each in values if isinstance(each, str) and each]


def _replaced(filters: FilterGroup, whole: Mapping[str, str]) -> FilterGroup:
    parts: list[Comparison | FilterGroup] = []
    for part in filters.parts:
        if isinstance(part, FilterGroup):
            parts.append(_replaced(part, whole))
        elif _names_sources(part):
            parts.append(replace(part, value=_completed(part.value, whole)))
        else:
            parts.append(part)
    return replace(filters, parts=tuple(parts))


def _completed(value: object, whole: Mapping[str, str]) -> object:
    if isinstance(value, list):
        return [_completed(each, whole) for each in value]
    return whole.get(value, value) if isinstance(value, str) else value
