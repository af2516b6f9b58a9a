"""Resolve a selection into collections, embedding spaces and a compiled filter."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from psycopg import sql
from psycopg.types.json import Jsonb

from sightline.storage.db.queries import Connection, fetch_all, load_sql
from sightline.storage.errors import InvalidArgumentError, SpaceMismatchError, UnknownNameError
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.records.filter_keys import MAX_METADATA_DEPTH
from sightline.storage.retrieval.filters import filter_language
from sightline.storage.retrieval.filters.filter_columns import FilterSchema
from sightline.storage.retrieval.filters.filter_compiler import (
    TIME,
    Condition,
    MetadataField,
    MetadataFields,
    compile_filters,
    metadata_names,
    possible_paths,
    time_of_day_problem,
)
from sightline.storage.retrieval.filters.filter_language import Comparison, FilterGroup
from sightline.storage.retrieval.filters.source_names import complete_source_names
from sightline.storage.retrieval.search_caches import SearchCaches
from sightline.storage.retrieval.search_types import ResultLevel, Selection
from sightline.storage.text.phrases import parse_phrases
from sightline.storage.types import PASSAGE_KINDS, Level
from sightline.storage.unicode_forms import normalize_name

_SQL = load_sql("retrieval")
_SAMPLED_ROWS = 1_000
_MAX_SAMPLED_KEYS = 1_000


@dataclass(frozen=True, slots=True)
class ScopedSpace:
    """An embedding space to search.

    ``exclusive`` says that only collections of the scope use the space.
    """

    space: EmbeddingSpace
    exclusive: bool


@dataclass(frozen=True, slots=True)
class SearchScope:
    """What a search may return.

    ``collections`` maps ids to names; ``all_collections`` says that no collection is excluded.
    ``condition`` is compiled for the schema that the scope was resolved with.
    """

    collections: Mapping[int, str]
    all_collections: bool
    spaces: Mapping[Level, ScopedSpace]
    condition: Condition
    kinds: tuple[str, ...] | None
    notes: tuple[str, ...]
    filters: FilterGroup | None = None
    """What ``condition`` was compiled from."""
    fields: MetadataFields = field(default_factory=dict)
    """The metadata keys that are known, including those of the filter."""

    @property
    def fingerprint(self) -> str:
        """Return a text that is equal for scopes that match the same rows."""
        # The repr of psycopg's Jsonb is abridged.
        values = [getattr(value, "obj", value) for value in self.condition.parameters.values()]
        return repr((self.collection_ids, self.kinds, self.condition.sql, values))

    @property
    def collection_ids(self) -> list[int]:
        return sorted(self.collections)

    def rows(self, level: ResultLevel) -> tuple[sql.Composed, dict[str, object]]:
        """Return the tables and condition of the selection, and the parameters.

        Use it after FROM. Table aliases: see `filter_compiler`.
        """
        alias = "a" if level == "asset" else "p"
        conditions: list[sql.Composable] = [
            sql.SQL("{}.collection_id = ANY (%(collections)s)").format(sql.SQL(alias)),
            self.condition.sql,
        ]
        if level == "passage" and self.kinds:
            conditions.append(sql.SQL("p.kind = ANY (%(kinds)s)"))
        tables = sql.SQL(_SQL["assets" if level == "asset" else "passages"])
        rows = sql.SQL("{} WHERE {}").format(tables, sql.SQL(" AND ").join(conditions))
        parameters = {
            **self.condition.parameters,
            "collections": self.collection_ids,
            "kinds": list(self.kinds or ()),
        }
        return rows, parameters


@dataclass(frozen=True, slots=True)
class _ScopeRow:
    collection_id: int
    name: str
    level: Level | None
    space_id: int
    encoder: str
    weights: str
    preprocessing: str
    dimension: int
    space_users: int
    is_previous: bool


async def resolve_scope(
    connection: Connection,
    selection: Selection,
    encoders: Mapping[Level, EncoderIdentity],
    schema: FilterSchema,
    caches: SearchCaches,
) -> SearchScope:
    """Resolve a selection for the encoders of each level.

    After a re-encoding, a server that still has the old encoder searches the old vectors. Raises
    UnknownNameError for an unknown collection or filter key, SpaceMismatchError if an encoder
    cannot search a named collection (or, without names, any collection), and InvalidArgumentError
    for an invalid filter.
    """
    filters = _filters(selection)
    for kind in selection.kinds or ():
        if kind not in PASSAGE_KINDS:
            raise UnknownNameError("passage kind", kind, PASSAGE_KINDS)
    if selection.kinds is not None and not selection.kinds:
        raise InvalidArgumentError(f"kinds is empty. Omit it or give some of {PASSAGE_KINDS}.")
    rows = await _scope_rows(connection, selection.collections)
    names = {row.collection_id: row.name for row in rows}
    spaces, mismatches, notes = _usable_spaces(rows, encoders)
    if mismatches and (selection.collections is not None or len(mismatches) == len(names)):
        raise next(iter(mismatches.values()))
    if mismatches:
        skipped = ", ".join(repr(names[id_]) for id_ in mismatches)
        notes += (f"Not searched, because another encoder made their vectors: {skipped}.",)
    searched = {id_: name for id_, name in names.items() if id_ not in mismatches}
    filters, ambiguous = await complete_source_names(connection, filters, sorted(searched))
    used = metadata_names(filters, schema)
    fields = await metadata_fields(connection, tuple(sorted(searched)), used, caches)
    return SearchScope(
        collections=searched,
        all_collections=selection.collections is None and not mismatches,
        spaces={
            level: ScopedSpace(space, exclusive=len(members & searched.keys()) == users)
            for level, (space, users, members) in spaces.items()
            if members & searched.keys()
        },
        condition=compile_filters(filters, schema, fields),
        kinds=selection.kinds,
        notes=(*notes, *ambiguous),
        filters=filters,
        fields=fields,
    )


_Spaces = dict[Level, tuple[EmbeddingSpace, int, set[int]]]
"""The space of each level with the number of its users, and the collections to search in it."""


def _usable_spaces(
    rows: Sequence[_ScopeRow], encoders: Mapping[Level, EncoderIdentity]
) -> tuple[_Spaces, dict[int, SpaceMismatchError], tuple[str, ...]]:
    """Return the spaces of the encoders, mismatches by collection id, and notes.

    Previous spaces come last in ``rows``, and count only where the current ones do not match.
    """
    spaces: _Spaces = {}
    mismatches: dict[tuple[int, Level], SpaceMismatchError] = {}
    outdated: dict[str, str] = {}
    for row in rows:
        if row.level is None or row.level not in encoders:
            continue
        key = (row.collection_id, row.level)
        if row.is_previous and key not in mismatches:
            continue
        identity = EncoderIdentity(row.encoder, row.weights, row.preprocessing, row.dimension)
        space = EmbeddingSpace(row.space_id, identity, row.level)
        try:
            space.require(encoders[row.level])
        except SpaceMismatchError as error:
            mismatches.setdefault(key, error)
            continue
        if row.is_previous:
            del mismatches[key]
            outdated[row.name] = identity.name
        spaces.setdefault(row.level, (space, row.space_users, set()))[2].add(row.collection_id)
    notes = tuple(
        f"{name!r} was re-encoded with another encoder, but this server still has {encoder}. It "
        "does not find what was added since. The operator must restart it with the new encoder."
        for name, encoder in outdated.items()
    )
    by_collection: dict[int, SpaceMismatchError] = {}
    for (id_, _), mismatch in mismatches.items():
        by_collection.setdefault(id_, mismatch)
    return spaces, by_collection, notes


def require_phrases(scope: SearchScope, query: str) -> SearchScope:
    """Restrict the scope to passages that contain all quoted phrases of the query."""
    quoted = parse_phrases(query)
    if not quoted:
        return scope
    conditions = [scope.condition.sql]
    parameters = dict(scope.condition.parameters)
    for number, phrase in enumerate(quoted):
        block = _SQL["contains_words" if phrase.words is not None else "contains_characters"]
        conditions.append(sql.SQL(block).format(phrase=sql.Placeholder(f"phrase{number}")))
        parameters[f"phrase{number}"] = phrase.words or phrase.characters
    joined = sql.SQL(" AND ").join(conditions)
    return replace(scope, condition=Condition(joined, parameters, is_restrictive=True))


async def metadata_fields(
    connection: Connection, ids: tuple[int, ...], names: set[str], caches: SearchCaches
) -> MetadataFields:
    """Return metadata keys by name, including all of ``names`` that exist."""
    if not names:
        return {}
    cached = caches.metadata_fields.get(ids)
    if cached is not None and names <= cached.keys():
        return cached
    params = {
        "collections": list(ids),
        "rows": _SAMPLED_ROWS,
        "max_keys": _MAX_SAMPLED_KEYS,
        "max_depth": MAX_METADATA_DEPTH,
    }
    rows = await fetch_all(connection, _SQL["sampled_metadata_keys"], params, row=_field)
    if missing := names - {_name(each) for each in rows}:  # the sample may miss rare keys
        paths = [path for name in sorted(missing) for path in possible_paths(name)]
        rare = {
            "collections": list(ids),
            "keys": sorted({path[0] for path in paths}),
            "paths": Jsonb(paths),
        }
        rows += await fetch_all(connection, _SQL["metadata_keys"], rare, row=_field)
    # A key that contains a dot goes before a nested key of the same name.
    rows.sort(key=lambda each: -len(each.path))
    fields = {_name(each): each for each in rows}
    caches.metadata_fields.set(ids, fields)
    return fields


def _name(field: MetadataField) -> str:
    return ".".join(field.path)


def _field(path: list[str], types: list[str], is_numeric_text: bool) -> MetadataField:
    return MetadataField(tuple(path), frozenset(types), is_numeric_text)


async def _scope_rows(connection: Connection, requested: tuple[str, ...] | None) -> list[_ScopeRow]:
    names = None if requested is None else [normalize_name(each) for each in requested]
    if invalid := [name for name in names or () if "\x00" in name]:
        raise UnknownNameError("collection", invalid[0], await collections.names(connection))
    rows = await fetch_all(connection, _SQL["scope"], {"names": names}, row=_ScopeRow)
    missing = set(names or ()) - {row.name for row in rows}
    if missing:
        raise UnknownNameError("collection", min(missing), await collections.names(connection))
    return rows


def _filters(selection: Selection) -> FilterGroup | None:
    parts: list[Comparison | FilterGroup] = []
    if (parsed := filter_language.parse(selection.filters)) is not None:
        parts.append(parsed)
    for name, operator, value in (
        ("captured_after", "gte", selection.captured_after),
        ("captured_before", "lt", selection.captured_before),
    ):
        if isinstance(value, str) and TIME.fullmatch(value):
            raise InvalidArgumentError(time_of_day_problem(name, operator, value))
    if selection.captured_after:
        parts.append(Comparison("captured_at", "gte", selection.captured_after))
    if selection.captured_before:
        parts.append(Comparison("captured_at", "lt", selection.captured_before))
    return FilterGroup(tuple(parts)) if parts else None
