"""${message}."""

from __future__ import annotations

from sightline.migrations.sql_migration import sql_migration

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}

upgrade, downgrade = sql_migration(__file__)
