"""Principals that are bound to every collection."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Adds ``tenant.everything``."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Takes it back: who was bound to everything is bound to nothing."""
    run_script(__file__, "down")
