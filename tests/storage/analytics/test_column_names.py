"""One name, one type and one meaning over all views and functions of the schema analytics."""

from __future__ import annotations

from collections import defaultdict

from sightline.storage.db.pool import Database

COLUMNS = """
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relnamespace = 'analytics'::regnamespace AND c.relkind = 'v'
UNION ALL
SELECT p.proname::text, shown.name, format_type(shown.type, NULL)
FROM pg_proc AS p
CROSS JOIN LATERAL unnest(p.proargnames, p.proallargtypes, p.proargmodes)
    AS shown (name, type, mode)
WHERE p.pronamespace = 'analytics'::regnamespace AND shown.mode = 't'
"""
ARGUMENTS = """
SELECT p.proname::text, shown.name, format_type(shown.type, NULL)
FROM pg_proc AS p
CROSS JOIN LATERAL unnest(p.proargnames[:p.pronargs], p.proargtypes::oid[]) AS shown (name, type)
WHERE p.pronamespace = 'analytics'::regnamespace
    AND p.proname NOT IN ('require_row_size', 'query_plan')
"""
#: The type of a column by the end of its name, or by its whole name.
TYPES = {
    "asset_id": "text",
    "source_id": "bigint",
    "region_id": "bigint",
    "passage_id": "bigint",
    "annotation_id": "bigint",
    "search_id": "bigint",
    "embedding_space_id": "integer",
    "_count": "bigint",
    "_at": "timestamp with time zone",
    "_sha256": "text",
    "distance": "double precision",
    "score": "real",
    "collections": "text[]",
    "collection": "text",
    "source": "text",
    "metadata": "jsonb",
    "embedding": "halfvec",
}
#: Views of a thing name it by a column of its own; nothing else may be called so.
NOT_NAMES = {"name", "id", "in_collection", "count", "space", "hash"}


async def columns(database: Database, query: str) -> list[tuple[str, str, str]]:
    async with database.connection() as connection:
        return await (await connection.execute(query.encode())).fetchall()  # type: ignore[return-value]


async def test_a_column_has_one_type_everywhere(database: Database) -> None:
    types = defaultdict(set)
    found = await columns(database, COLUMNS)
    for _, name, type_ in found:
        types[name].add(type_)
    assert len(found) > 150
    assert {name: kinds for name, kinds in types.items() if len(kinds) > 1} == {}


async def test_columns_follow_the_rules_of_the_reference(database: Database) -> None:
    wrong = [
        (relation, name, type_)
        for relation, name, type_ in await columns(database, COLUMNS)
        for end, expected in TYPES.items()
        if (name.endswith(f"_{end.lstrip('_')}") or name == end) and type_ != expected
    ]
    assert wrong == []
    assert [each for each in await columns(database, COLUMNS) if each[1] in NOT_NAMES] == []


async def test_arguments_have_one_type_everywhere(database: Database) -> None:
    types = defaultdict(set)
    for _, name, type_ in await columns(database, ARGUMENTS):
        types[name].add(type_)
    assert types["collection_name"] == {"text"}
    assert types["embedding_space"] == types["k"] == {"integer"}
    assert {name: kinds for name, kinds in types.items() if len(kinds) > 1} == {}


async def test_rows_of_a_collection_name_it(database: Database) -> None:
    """Every view and function that shows assets has their collection, so that all can be joined."""
    found = await columns(database, COLUMNS)
    shows: dict[str, set[str]] = defaultdict(set)
    for relation, name, _ in found:
        shows[relation].add(name)
    with_assets = {relation for relation, names in shows.items() if "asset_id" in names}
    assert len(with_assets) > 12
    assert {each for each in with_assets if "collection" not in shows[each]} == set()
