"""Migration 0005: taken back, it shows nobody more than before."""

from __future__ import annotations

import psycopg

from sightline.server.database import schema_migration


def test_who_was_bound_to_everything_is_bound_to_nothing_below(database_dsn: str) -> None:
    with psycopg.connect(database_dsn) as connection:
        connection.execute("INSERT INTO sightline.collection (name) VALUES ('album')")
        connection.execute(
            "INSERT INTO sightline.tenant (principal, everything) VALUES ('boss', true)"
        )
    schema_migration.downgrade(database_dsn, "0004")
    schema_migration.upgrade(database_dsn)
    with psycopg.connect(database_dsn) as connection:
        rows = connection.execute("SELECT principal, everything FROM sightline.tenant").fetchall()
        assert rows == [("boss", False)]
        connection.execute("SET LOCAL ROLE sightline_tenant")
        connection.execute("SET LOCAL sightline.principal = 'boss'")
        assert connection.execute("SELECT name FROM sightline.collection").fetchall() == []
