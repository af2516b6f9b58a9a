"""Collections bound to principals and logins: Postgres itself shows no row of another."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

import psycopg
import pytest
from psycopg import errors
from psycopg.conninfo import make_conninfo

from sightline.storage.analytics import cluster_analysis
from sightline.storage.analytics.analyst_roles import (
    ensure_query_role,
    grant_analyst,
    revoke_analyst,
)
from sightline.storage.analytics.sql_runner import SqlRunner
from sightline.storage.db import row_security
from sightline.storage.db.pool import Database
from sightline.storage.db.queries import Connection
from sightline.storage.errors import (
    InvalidArgumentError,
    NotAllowedError,
    StorageError,
    UnknownNameError,
)
from sightline.storage.interfaces import EncoderIdentity
from sightline.storage.records import collections, embedding_spaces
from tests.storage.analytics.conftest import asset_id

#: Rows of "album" among those of both, by table.
ALBUM_ROWS = {
    "collection": (1, 2),
    "collection_embedding_space": (1, 2),
    "embedding_space": (1, 1),
    "source": (30, 50),
    "asset": (30, 50),
    "thumbnail": (30, 50),
    "passage": (30, 50),
    "posting": (60, 100),
    "embedding": (29, 48),
    "embedding_1": (29, 48),
    "annotation": (6, 6),
    "retrieval_log": (0, 2),  # others' searches of it
}
OTHERS = "'other0000001', 'van', 0, 0, 1, 1, 'person'"
LOGGED = "'desktop', 'search_images', 1, 0"


async def count(connection: Connection, table: str) -> int:
    cursor = await connection.execute(f"SELECT count(*) FROM {table}".encode())
    (row,) = await cursor.fetchall()
    return int(row[0])


@asynccontextmanager
async def acting(database: Database, principal: str) -> AsyncIterator[Connection]:
    async with database.connection() as connection:
        await row_security.set_principal(connection, principal)
        yield connection


@contextmanager
def analyst(dsn: str) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
    with psycopg.connect(dsn, autocommit=True) as connection:
        yield connection


@pytest.fixture
async def bound(filled: Database) -> Database:
    """The principal "laptop" is bound to "album"."""
    async with filled.connection() as connection:
        await row_security.bind(connection, "laptop", ["album"])
    return filled


@pytest.fixture
async def alice(filled: Database) -> AsyncIterator[str]:
    """The address of an analyst who is bound to "album"; everything is analysed."""
    await cluster_analysis.cluster_collections(filled, k=3)
    await cluster_analysis.find_near_duplicates(filled)
    yield await grant_analyst(filled.dsn, "alice", collections=["album"])
    await revoke_analyst(filled.dsn, "alice")


async def test_a_principal_sees_only_rows_of_its_collections(bound: Database) -> None:
    async with acting(bound, "laptop") as connection:
        seen = {table: await count(connection, table) for table in ALBUM_ROWS}
        assert seen == {table: rows for table, (rows, _) in ALBUM_ROWS.items()}
        with pytest.raises(
            UnknownNameError, match=r"Unknown collection 'other'\. Available: 'album'"
        ):
            await collections.get(connection, "other")
    async with bound.connection() as connection:  # the same one, given back and taken again
        assert {table: await count(connection, table) for table in ALBUM_ROWS} == {
            table: rows for table, (_, rows) in ALBUM_ROWS.items()
        }


async def test_an_unbound_principal_sees_nothing(bound: Database) -> None:
    async with acting(bound, "stranger") as connection:
        assert {await count(connection, table) for table in ALBUM_ROWS} == {0}


BEYOND = [
    f"INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin) VALUES ({OTHERS})",
    "UPDATE annotation SET asset_id = 'other0000001'",
    f"INSERT INTO retrieval_log (principal, tool, total_ms, result_count) VALUES ({LOGGED})",
    "UPDATE asset SET collection_id = 2",
    "INSERT INTO collection_binding SELECT 1, 2",
    "SELECT * FROM principal",
]


async def test_a_principal_cannot_write_to_other_collections(bound: Database) -> None:
    for text in BEYOND:
        with pytest.raises(StorageError, match=r"row-level security|permission denied"):
            async with acting(bound, "laptop") as connection:
                await connection.execute(text.encode())


async def test_a_principal_can_delete_and_annotate_its_own_assets(bound: Database) -> None:
    async with acting(bound, "laptop") as connection:
        await connection.execute(
            "INSERT INTO annotation (asset_id, label, x0, y0, x1, y1, origin) "
            "VALUES (%s, 'van', 0, 0, 1, 1, 'person')",
            [asset_id("album", 3)],
        )
        cursor = await connection.execute("DELETE FROM asset")
        assert cursor.rowcount == 30
    async with bound.connection() as connection:
        assert await count(connection, "asset") == 20
        assert await count(connection, "embedding") == 19


async def test_the_vector_index_serves_a_principal(bound: Database) -> None:
    async with acting(bound, "laptop") as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        await connection.execute("SET LOCAL enable_sort = off")
        cursor = await connection.execute(
            "EXPLAIN SELECT asset_id FROM embedding_1 ORDER BY "
            "embedding::halfvec(8) <=> '[1,1,1,1,1,1,1,1]' LIMIT 5"
        )
        plan = "\n".join(row[0] for row in await cursor.fetchall())
    assert "Index Scan using embedding_1_hnsw" in plan
    assert "collection_id = ANY ((InitPlan" in plan  # asked once, not for each row


async def test_searches_of_the_server_have_no_policy_in_the_plan(bound: Database) -> None:
    async with bound.connection() as connection:
        await connection.execute("SET LOCAL enable_seqscan = off")
        cursor = await connection.execute(
            "EXPLAIN (COSTS off) SELECT asset_id FROM embedding_1 ORDER BY "
            "embedding::halfvec(8) <=> '[1,1,1,1,1,1,1,1]' LIMIT 5"
        )
        plan = [row[0].strip() for row in await cursor.fetchall()]
    assert plan[:2] == ["Limit", "->  Index Scan using embedding_1_hnsw on embedding_1"]
    assert not any("collection" in line or "InitPlan" in line for line in plan)


async def test_new_embedding_spaces_have_a_policy(bound: Database) -> None:
    async with bound.connection() as connection:
        identity = EncoderIdentity("another", "1" * 16, "1" * 16, 4)
        space = await embedding_spaces.get_or_create(connection, identity, "asset")
        other = await collections.get(connection, "other")
        await connection.execute(
            "INSERT INTO embedding (embedding_space_id, collection_id, asset_id, embedding) "
            "VALUES (%s, %s, %s, '[1,2,3,4]')",
            [space.id, other.id, asset_id("other", 0)],
        )
        assert await count(connection, space.partition) == 1
    async with acting(bound, "laptop") as connection:
        assert await count(connection, space.partition) == 0
        assert [each.identity.name for each in await embedding_spaces.list_spaces(connection)] == [
            "test-encoder"
        ]


async def test_every_table_has_a_policy(database: Database) -> None:
    async with database.connection() as connection:
        cursor = await connection.execute(
            "SELECT relname FROM pg_class WHERE relnamespace = 'sightline'::regnamespace "
            "AND relkind IN ('r', 'p') AND NOT relrowsecurity ORDER BY 1"
        )
        # Nobody but the owner may read these.
        assert [row[0] for row in await cursor.fetchall()] == [
            "collection_binding", "id_key", "lock", "principal", "schema_version",
        ]  # fmt: skip


async def test_bindings_are_listed_changed_and_removed(bound: Database) -> None:
    async with bound.connection() as connection:
        assert await row_security.bindings(connection) == {"laptop": ["album"]}
        await row_security.bind(connection, "laptop", ["other", "other"])
        await row_security.bind(connection, "nobody", [])
        assert await row_security.bindings(connection) == {"laptop": ["other"], "nobody": []}
        with pytest.raises(
            UnknownNameError, match=r"Unknown collection 'albun'\. Available: 'album'"
        ):
            await row_security.bind(connection, "laptop", ["albun"])
        assert await row_security.remove_binding(connection, "laptop")
        assert not await row_security.remove_binding(connection, "laptop")
        assert await row_security.bindings(connection, kind="db_role") == {}


async def test_a_principal_of_a_deleted_collection_sees_nothing(
    bound: Database, alice: str
) -> None:
    async with bound.connection() as connection:
        await connection.execute("DELETE FROM collection WHERE name = 'album'")
    async with acting(bound, "laptop") as connection:
        assert await count(connection, "asset") == 0
    with analyst(alice) as connection_:
        assert connection_.execute("SELECT count(*) FROM assets").fetchone() == (0,)


#: Each question of an analyst who sees "album", with its number of rows.
QUESTIONS = {
    "SELECT * FROM assets": 30,
    "SELECT * FROM sources": 30,
    "SELECT * FROM passages": 30,
    "SELECT * FROM annotations": 6,
    "SELECT * FROM detections": 0,
    "SELECT * FROM embeddings": 29,
    "SELECT * FROM embedding_spaces WHERE collections = '{album}' AND vector_count = 29": 1,
    "SELECT * FROM searches": 2,
    "SELECT * FROM nearest('album0000000', 100)": 28,
    "SELECT * FROM search((SELECT embedding FROM embeddings LIMIT 1), 100)": 29,
    "SELECT * FROM search((SELECT embedding FROM embeddings LIMIT 1), 9, NULL, 'other')": 0,
    "SELECT * FROM duplicates(0.001)": 0,
    "SELECT * FROM clusters(3)": 3,
    "SELECT * FROM cluster_members": 29,
    "SELECT * FROM regions": 0,
    "SELECT * FROM collections WHERE asset_count = 30 AND passage_count = 30": 1,
    "SELECT * FROM collections": 1,
    "SELECT * FROM embeddings WHERE level = 'asset' AND kind = 'image'": 29,
    "SELECT * FROM knn(ARRAY['album0000000', 'album0000001'], 100)": 56,
    "SELECT * FROM knn(collection_name => 'album', k => 3)": 87,
    "SELECT * FROM search_text('picture', 100)": 30,
    "SELECT * FROM search((SELECT embedding FROM embeddings LIMIT 1), 99, filters => "
    '\'{"product": "Onion"}\')': 6,
    "SELECT * FROM coverage() WHERE collection = 'album'": 1,
    "SELECT * FROM coverage()": 1,
    "SELECT * FROM outliers(100)": 29,
    "SELECT * FROM centroid() WHERE asset_count = 29": 1,
    "SELECT * FROM drift('[2026-01-01,2026-02-01)', '[2026-02-01,2026-03-01)')": 1,
    "SELECT similarity('album0000000', 'album0000001') IS NOT NULL": 1,
    "SELECT 1 WHERE similarity('album0000000', 'other0000000') IS NULL": 1,
    "SELECT * FROM overlapping_annotations()": 2,
}


async def test_an_analyst_sees_its_collections_regardless_of_settings(
    filled: Database, alice: str
) -> None:
    async with filled.connection() as connection:
        await row_security.bind(connection, "desktop", ["other"])
        await connection.execute("ANALYZE")
    for before in ("SELECT 1", "SET sightline.principal = 'desktop'", "SET ROLE sightline_analyst"):
        with analyst(alice) as session:
            session.execute(before.encode())
            counted = {text: len(session.execute(text.encode()).fetchall()) for text in QUESTIONS}
            assert counted == QUESTIONS, before
            with pytest.raises(errors.InvalidParameterValue, match="unknown asset"):
                session.execute("SELECT * FROM nearest('other0000001', 3)")
            for role in ("sightline", "sightline_principal", "sightline_analytics_owner"):
                with pytest.raises(errors.InsufficientPrivilege):
                    session.execute(f"SET ROLE {role}".encode())
    with analyst(alice) as session:
        session.execute("SET row_security = off")
        for text in QUESTIONS:
            with pytest.raises(errors.InsufficientPrivilege, match="row-level security"):
                session.execute(text.encode())


async def test_the_system_catalog_does_not_name_other_collections(
    filled: Database, alice: str
) -> None:
    """Statistics hold values, and a name may come to stand anywhere: everything is read."""
    secret = "hush-hush"
    async with filled.connection() as connection:
        await connection.execute("UPDATE collection SET name = %s WHERE name = 'other'", [secret])
        await connection.execute(
            "UPDATE source SET name = %s, location = %s WHERE collection_id = 2", [secret, secret]
        )
        await connection.execute("UPDATE asset SET caption = %s WHERE collection_id = 2", [secret])
    async with filled.connection(autocommit=True) as connection:
        await connection.execute("ANALYZE")
        found = await connection.execute(
            "SELECT attname::text FROM pg_stats WHERE most_common_vals::text LIKE %s",
            [f"%{secret}%"],
        )
        assert await found.fetchall() == []
    with analyst(alice) as session:
        relations = session.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'v') AND relnamespace "
            "IN ('pg_catalog'::regnamespace, 'information_schema'::regnamespace, "
            "'analytics'::regnamespace)"
        ).fetchall()
        read, leaked = 0, []
        for (name,) in relations:
            try:
                rows = session.execute(
                    f"SELECT 1 FROM {name} AS r WHERE r::text LIKE %s "
                    "AND r::text NOT LIKE '%%' || %s || '%%'".encode(),
                    [f"%{secret}%", "LIKE $1"],
                ).fetchall()
            except errors.InsufficientPrivilege:
                continue
            read += 1
            leaked += [name] * bool(rows)
    assert leaked == []
    assert read > 100


async def test_an_analyst_binding_is_changed_and_removed(filled: Database, alice: str) -> None:
    def seen(dsn: str) -> list[tuple[object, ...]]:
        with analyst(dsn) as session:
            return session.execute("SELECT DISTINCT collection FROM assets ORDER BY 1").fetchall()

    assert seen(alice) == [("album",)]
    assert seen(await grant_analyst(filled.dsn, "alice", collections=["other"])) == [("other",)]
    assert seen(await grant_analyst(filled.dsn, "alice")) == [("other",)]
    assert seen(await grant_analyst(filled.dsn, "alice", everything=True)) == [
        ("album",),
        ("other",),
    ]
    with pytest.raises(
        UnknownNameError, match=r"Unknown collection 'x'\. Available: 'album', 'other'"
    ):
        await grant_analyst(filled.dsn, "alice", collections=["x"])


async def test_a_revoked_analyst_loses_access_at_once(filled: Database) -> None:
    dsn = await grant_analyst(filled.dsn, "erin", collections=["album"])
    with analyst(dsn) as session:
        assert session.execute("SELECT 1").fetchone() == (1,)
        await revoke_analyst(filled.dsn, "erin")
        with pytest.raises(psycopg.OperationalError):
            session.execute("SELECT count(*) FROM assets")
    with pytest.raises(psycopg.OperationalError, match="erin"):
        psycopg.connect(dsn)
    async with filled.connection() as connection:
        assert await row_security.bindings(connection, kind="db_role") == {}
    with pytest.raises(UnknownNameError, match="Unknown analyst 'erin'"):
        await revoke_analyst(filled.dsn, "erin")
    with pytest.raises(NotAllowedError, match="is not an analyst"):
        await revoke_analyst(filled.dsn, "sightline")


async def test_queries_of_a_bound_principal_run_as_its_own_role(bound: Database) -> None:
    async def seen(login: str) -> object:
        dsn = make_conninfo(bound.dsn, user=login)
        runner = SqlRunner(dsn, timeout_seconds=60, max_rows=5, max_bytes=999)
        answer = await runner.run("SELECT DISTINCT collection FROM assets", rows=5)
        return sorted(str(row[0]) for row in answer.rows)

    async with bound.connection() as connection:
        login = await ensure_query_role(connection, "laptop")
        assert await ensure_query_role(connection, "laptop") == login
        shared = await ensure_query_role(connection, "desktop")
    assert shared == await ensure_shared(bound)
    assert (await seen(login), await seen(shared)) == (["album"], ["album", "other"])
    async with bound.connection() as connection:
        await row_security.remove_binding(connection, "laptop")
    assert await seen(login) == []


async def ensure_shared(database: Database) -> str:
    async with database.connection() as connection:
        return await ensure_query_role(connection)


async def test_a_reserved_role_name_is_refused(filled: Database) -> None:
    for name in ("sightline_query_1", "sightline_principal"):
        with pytest.raises(InvalidArgumentError, match="is not a valid role name"):
            await grant_analyst(filled.dsn, name)


async def test_bindings_work_without_superuser_rights(bound: Database) -> None:
    """It owns the tables, which no policy holds back, and turns into the tenant."""
    with psycopg.connect(bound.dsn, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN")
        for (name,) in connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE relkind IN ('r', 'p') "
            "AND relnamespace = 'sightline'::regnamespace"
        ).fetchall():
            connection.execute(f"ALTER TABLE {name} OWNER TO plain".encode())
        for (name,) in connection.execute(
            "SELECT oid::regprocedure::text FROM pg_proc "
            "WHERE pronamespace = 'sightline'::regnamespace"
        ).fetchall():
            connection.execute(f"ALTER FUNCTION {name} OWNER TO plain".encode())
        connection.execute("GRANT ALL ON SCHEMA sightline, analytics TO plain")
        connection.execute("SELECT sightline.ensure_roles()")
    server = await Database.open(make_conninfo(bound.dsn, user="plain"))
    try:
        async with server.connection() as session:
            assert await count(session, "asset") == 50
            assert await count(session, "analytics.assets") == 50
            cursor = await session.execute("SELECT min(id) FROM passage")
            ((passage,),) = await cursor.fetchall()
            async with session.cursor().copy("COPY posting FROM STDIN") as copy:
                await copy.write_row(("word", passage, 1))
        async with acting(server, "laptop") as session:
            assert await count(session, "asset") == 30
            with pytest.raises(errors.InsufficientPrivilege):
                await session.execute("SELECT count(*) FROM principal")
    finally:
        await server.close()
        with psycopg.connect(bound.dsn, autocommit=True) as connection:
            connection.execute("REASSIGN OWNED BY plain TO sightline")
            connection.execute("DROP OWNED BY plain")
            connection.execute("DROP ROLE plain")


async def test_an_analyst_does_not_see_searches_of_an_earlier_collection(filled: Database) -> None:
    def seen(dsn: str) -> list[object]:
        with analyst(dsn) as connection:
            return [row[0] for row in connection.execute("SELECT collections FROM searches")]

    async def rename(name: str, new: str) -> None:
        async with filled.write_connection() as connection:
            await collections.rename(connection, await collections.get(connection, name), new)

    alice = await grant_analyst(filled.dsn, "alice", collections=["album"])
    beth = await grant_analyst(filled.dsn, "beth", collections=["other"])
    try:
        await rename("album", "photos")
        assert seen(alice) == [["photos"], ["photos"]]
        await rename("other", "album")
        assert seen(beth) == []
        await rename("photos", "gone")
        async with filled.connection() as connection:  # as after a deletion
            await connection.execute("UPDATE retrieval_log SET collection = 'photos'")
        await rename("album", "photos")
        assert seen(beth) == []
        async with filled.connection() as connection:
            await connection.execute("UPDATE retrieval_log SET collection = 'new'")
            await collections.ensure(connection, "new")
        beth = await grant_analyst(filled.dsn, "beth", collections=["new"])
        assert seen(beth) == []
    finally:
        for name in ("alice", "beth"):
            await revoke_analyst(filled.dsn, name)
