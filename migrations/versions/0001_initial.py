"""Initial schema: tables, row-level security, views and functions."""

from __future__ import annotations

from sightline.migrations.sql_migration import sql_migration

revision = "0001"
down_revision = None

upgrade, downgrade = sql_migration(__file__)
