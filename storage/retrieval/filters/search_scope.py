"""Where a search looks: collections, their spaces, and the compiled filter."""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from llama_index.core.vector_stores.types import FilterOperator, MetadataFilters
from psycopg.rows import TupleRow

from sightline.storage.db import sql_loader
from sightline.storage.db.pool import Connection
from sightline.storage.errors import InvalidArgumentError, SpaceMismatchError, UnknownNameError
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections
from sightline.storage.records.embedding_spaces import EmbeddingSpace
from sightline.storage.types import Level
from sightline.storage.retrieval.filters import filter_language as language
from sightline.storage.retrieval.filters.filter_compiler import (
    Condition,
    MetadataTypes,
    compile_filters,
    metadata_keys,
)
from sightline.storage.retrieval.filters.filter_schema import FilterSchema
from sightline.storage.retrieval.search_types import Selection
from sightline.storage.types import PASSAGE_KINDS

_SQL = sql_loader.load("retrieval")
_SAMPLED_ROWS = 5_000
_KEYS_KEPT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class ScopedSpace:
    """A space that a search works in; ``whole`` says that no other collection uses it."""

    space: EmbeddingSpace
    whole: bool


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a search looks. ``condition`` is compiled for the schema that it was resolved with."""

    collections: Mapping[int, str]
    everything: bool
    spaces: Mapping[Level, ScopedSpace]
    condition: Condition
    kinds: tuple[str, ...] | None
    notes: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """The same for scopes that keep the same rows."""
        # The wrapper of JSON shows itself abridged: two long filters would look the same.
        values = [getattr(value, "obj", value) for value in self.condition.parameters.values()]
        return repr((self.ids, self.kinds, self.condition.sql, values))

    @property
    def ids(self) -> list[int]:
        """Ids of the collections, in order."""
        return sorted(self.collections)


class KeyCatalog:
    """The metadata keys that exist, remembered for a minute.

    A sample of rows finds the common ones; a key that is asked for and was not in the sample is
    looked for by itself.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[int, ...], tuple[float, dict[str, frozenset[str]]]] = {}

    async def types(
        self, connection: Connection, ids: Sequence[int], asked: set[str]
    ) -> MetadataTypes:
        """Keys of the collections with their JSON types; whole for those in ``asked``."""
        if not asked:
            return {}
        place = tuple(ids)
        read_at, known = self._known.get(place, (0.0, {}))
        if time.monotonic() - read_at > _KEYS_KEPT_SECONDS or not asked <= known.keys():
            known = await self._read(connection, place, asked)
            self._known[place] = (time.monotonic(), known)
        return known

    async def _read(
        self, connection: Connection, ids: tuple[int, ...], asked: set[str]
    ) -> dict[str, frozenset[str]]:
        bounds = {"collections": list(ids), "rows": _SAMPLED_ROWS}
        rows = await (await connection.execute(_SQL["sampled_metadata_keys"], bounds)).fetchall()
        known = {str(key): frozenset(types) for key, types in rows}
        for key in asked - known.keys():
            row = await (
                await connection.execute(_SQL["metadata_key"], {**bounds, "key": key})
            ).fetchone()
            if row is not None and row[0]:
                known[key] = frozenset(row[0])
        return known


async def resolve(
    connection: Connection,
    selection: Selection,
    identities: Mapping[Level, EncoderIdentity],
    schema: FilterSchema,
    catalog: KeyCatalog,
) -> Scope:
    """Resolve a selection for encoders by level.

    Raises UnknownNameError for a collection or filter key that is not there, SpaceMismatchError
    where an encoder cannot search a collection that was named (or any, when none was), and
    InvalidArgumentError for what the filter language refuses.
    """
    wanted = _filters(selection)
    kinds = _kinds(selection.kinds)
    rows = await _rows(connection, selection.collections)
    names: dict[int, str] = {}
    found: dict[Level, tuple[EmbeddingSpace, int, set[int]]] = {}
    mismatches: dict[int, SpaceMismatchError] = {}
    for collection_id, name, level, embedding_space_id, *identity, shared in rows:
        names[collection_id] = name
        if level not in identities:
            continue
        space = EmbeddingSpace(embedding_space_id, EncoderIdentity(*identity), level)
        try:
            space.require(identities[level])
        except SpaceMismatchError as error:
            mismatches[collection_id] = error
            continue
        found.setdefault(level, (space, shared, set()))[2].add(collection_id)
    skipped = _refuse_or_skip(selection, names, mismatches)
    kept = {key: name for key, name in names.items() if key not in mismatches}
    types = await catalog.types(connection, sorted(kept), metadata_keys(wanted, schema))
    return Scope(
        collections=kept,
        everything=selection.collections is None and not mismatches,
        spaces={
            level: ScopedSpace(space, whole=len(members & kept.keys()) == shared)
            for level, (space, shared, members) in found.items()
            if members & kept.keys()
        },
        condition=compile_filters(wanted, schema, types),
        kinds=kinds,
        notes=skipped,
    )


async def _rows(connection: Connection, named: tuple[str, ...] | None) -> list[TupleRow]:
    names = None if named is None else [unicodedata.normalize("NFC", name) for name in named]
    if names is not None and any("\x00" in name for name in names):
        raise UnknownNameError("collection", named, await collections.names(connection))
    rows = await (await connection.execute(_SQL["scope"], {"names": names})).fetchall()
    missing = set(names or ()) - {row[1] for row in rows}
    if missing:
        raise UnknownNameError("collection", min(missing), await collections.names(connection))
    return rows


def _refuse_or_skip(
    selection: Selection, names: Mapping[int, str], mismatches: Mapping[int, SpaceMismatchError]
) -> tuple[str, ...]:
    """Named collections have to match; of all collections, those that do not are left out."""
    if not mismatches:
        return ()
    if selection.collections is not None or len(mismatches) == len(names):
        raise next(iter(mismatches.values()))
    listed = ", ".join(repr(names[key]) for key in mismatches)
    return (f"not searched, for their vectors were made by another encoder: {listed}",)


def _filters(selection: Selection) -> MetadataFilters | None:
    times = [
        MetadataFilters.model_construct(
            filters=[language.condition("captured_at", operator, value)], condition="and"
        )
        for operator, value in (
            (FilterOperator.GTE, selection.captured_after),
            (FilterOperator.LT, selection.captured_before),
        )
        if value is not None and value != ""
    ]
    return language.combine(language.parse(selection.filters), *times)


def _kinds(kinds: tuple[str, ...] | None) -> tuple[str, ...] | None:
    for kind in kinds or ():
        if kind not in PASSAGE_KINDS:
            raise UnknownNameError("kind of passage", kind, PASSAGE_KINDS)
    if kinds is not None and not kinds:
        raise InvalidArgumentError(f"kinds is empty; leave it out or give some of {PASSAGE_KINDS}")
    return kinds
