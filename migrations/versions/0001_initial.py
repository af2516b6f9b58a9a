"""Collections, sources, assets, passages, spaces and their vectors."""

from __future__ import annotations

from sightline.migrations.scripts import run_script

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Makes the tables."""
    run_script(__file__, "up")


def downgrade() -> None:
    """Drops the tables with all that is in them."""
    run_script(__file__, "down")
