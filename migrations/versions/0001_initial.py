"""Initial schema: tables, row-level security, and views and functions for analysts."""

from __future__ import annotations

from sightline.migrations.sql_migration import sql_migration

revision = "0001"
down_revision = None

upgrade, downgrade = sql_migration(__file__)
